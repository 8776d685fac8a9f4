"""The index that searches for parts of words use. Without it they find the same leads, only slower."""

from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

INDEX = "lead_inbox_search"
# New leads stand in a list before they come into the index. Each search reads all of that list.
PENDING_KB = 512
# A million leads took three minutes.
BUILD_SECONDS = 4 * 3600.0


async def ensure_search_index(connection: Connection) -> bool:
    """Create the extension pg_trgm and the index, where that is possible. Return True if the index exists.

    pg_trgm comes with PostgreSQL (contrib), and since version 13 the owner of a database may create it. The
    index is created while leads are written and read. Raises the errors of asyncpg.
    """
    schema = await _trigram_schema(connection)
    if schema is None:
        return False
    valid = await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", f"public.{INDEX}"
    )
    if valid is None or not valid:
        if valid is False:  # an earlier run was interrupted
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS public.{INDEX}")
        await connection.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} ON public.lead_inbox"
            f" USING gin (search_text {schema}.gin_trgm_ops) WITH (gin_pending_list_limit = {PENDING_KB})",
            timeout=BUILD_SECONDS,
        )
    return True


async def _trigram_schema(connection: Connection) -> str | None:
    """Return the quoted schema of pg_trgm, which is created if that is allowed; None if there is none."""
    find = (
        "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace"
        " WHERE extname = 'pg_trgm'"
    )
    available = "SELECT true FROM pg_available_extensions WHERE name = 'pg_trgm'"
    schema: str | None = await connection.fetchval(find)
    if schema is None and await connection.fetchval(available):
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public")
        except asyncpg.InsufficientPrivilegeError:
            return None  # the doctor says who can create it, and how
        schema = await connection.fetchval(find)
    return schema
