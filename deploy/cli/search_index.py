"""The index that makes searches for parts of words fast. Without it, searches are slow but still work."""

from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

INDEX = "lead_inbox_search"
# PostgreSQL collects new leads in a pending list before it adds them to the index. Each search reads the
# whole list.
PENDING_KB = 512
# A million leads took three minutes.
BUILD_SECONDS = 4 * 3600.0


async def ensure_search_index(connection: Connection) -> None:
    """Create the extension pg_trgm and the index, unless they exist.

    pg_trgm is one of PostgreSQL's contrib extensions. Since PostgreSQL 13, the owner of a database may create
    the extension. Does nothing if the server lacks pg_trgm, or if this role may not create it. Leads can be
    written and read while the index is created. Raises the errors of asyncpg.
    """
    schema = await _trigram_schema(connection)
    if schema is None or await has_search_index(connection):
        return
    # An interrupted run leaves an index that no search uses.
    await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS public.{INDEX}")
    await connection.execute(
        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} ON public.lead_inbox"
        f" USING gin (search_text {schema}.gin_trgm_ops) WITH (gin_pending_list_limit = {PENDING_KB})",
        timeout=BUILD_SECONDS,
    )


async def has_search_index(connection: Any) -> bool:
    """Return True if the index exists and is complete. Raises the errors of asyncpg."""
    find = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"
    return bool(await connection.fetchval(find, f"public.{INDEX}"))


async def _trigram_schema(connection: Connection) -> str | None:
    """Return the quoted schema of the extension pg_trgm. Create the extension if it is missing.

    Returns None if the extension is not available or this role may not create it.
    """
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
