"""`python -m deploy.cli.migrate`: apply the numbered SQL files once, then grant the services their rights.

The smallest possible runner: plain files, one transaction each, an advisory lock, a checksum.
"""

import asyncio
import hashlib
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from urllib.parse import unquote, urlsplit

import asyncpg
import typer

from deploy.settings import MigrationSettings
from runtime import event_loop
from runtime.database.connect import Connector
from runtime.settings import load

MIGRATIONS = Path(__file__).parents[1] / "migrations"
LOCK = 0x66617374636F7265  # "fastcore"
# How long services may keep a file from its tables, and one try: longer than PostgreSQL needs to see that two
# wait for each other (1 s), short enough that whoever queues up behind us hardly notices.
BUSY_SECONDS = 120
LOCK_TIMEOUT = "2s"
ENCODING = "UTF8"
CONNECT_SECONDS = 10.0
# A file may rewrite a large table.
COMMAND_SECONDS = 600.0
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def migrate(owner_url: str, service_url: str) -> list[str]:
    """Bring the database up to date and return the names of the files applied.

    Safe to run by several processes at once. Raises `RuntimeError` where an applied file has changed.
    """
    connection = await Connector(owner_url, CONNECT_SECONDS).connect(command_timeout=COMMAND_SECONDS)
    try:
        await _refuse_encoding(connection)
        applied = await _apply(connection)
        async with _alone(connection):
            await _grant(connection, service_url)
        return applied
    finally:
        await connection.close(timeout=5)


async def _refuse_encoding(connection: Connection) -> None:
    """Raise `RuntimeError` if the database cannot store every character that a lead may have."""
    encoding = await connection.fetchval("SELECT current_setting('server_encoding')")
    if encoding != ENCODING:
        todo = f"create it with ENCODING '{ENCODING}' TEMPLATE template0"
        raise RuntimeError(f"the database has the encoding {encoding}: {todo}")


@asynccontextmanager
async def _alone(connection: Connection) -> AsyncIterator[None]:
    """Run one transaction that no other migration runs beside.

    The lock belongs to the transaction. A session's lock would stay behind on whatever server connection a
    pooler in transaction mode had at that moment.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        yield


async def _apply(connection: Connection) -> list[str]:
    async with _alone(connection):
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
    return [
        path.name
        for path in sorted(MIGRATIONS.glob("[0-9]*.sql"))
        if await _apply_one(connection, path.name, path.read_text(encoding="utf-8"))
    ]


async def _apply_one(connection: Connection, name: str, sql: str) -> bool:
    """Apply one file with every table locked from its beginning, or not at all; return whether it was.

    Services that are at work hold some tables and come for others: a file that did likewise would sooner or
    later wait for one that waits for it. They wait here for a moment; what they see is an outage.
    """
    digest = hashlib.sha256(sql.encode()).hexdigest()
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            async with _alone(connection):
                known = await connection.fetchval("SELECT sha256 FROM schema_migration WHERE name = $1", name)
                if known == digest:
                    return False
                if known:
                    raise RuntimeError(f"{name} was changed after it was applied: add a new file instead")
                await _lock_tables(connection)
                await connection.execute(sql)
                await connection.execute(
                    "INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)", name, digest
                )
                return True
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if time.monotonic() > give_up:
                msg = (
                    f"{name} was not applied: a transaction (a dump?) holds its tables; run this again later"
                )
                raise RuntimeError(msg) from None
            await asyncio.sleep(1)


async def _lock_tables(connection: Connection) -> None:
    tables = await connection.fetchval(
        "SELECT string_agg(oid::regclass::text, ', ' ORDER BY relname) FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace AND pg_get_userbyid(relowner) = current_user"
    )
    await connection.execute(
        f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;"
        " SET LOCAL lock_timeout TO DEFAULT"
    )


async def _grant(connection: Connection, service_url: str) -> None:
    """Create the services' role where we may, and give it what the services need and no more."""
    parts = urlsplit(service_url)
    role, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not role or role == await connection.fetchval("SELECT current_user"):
        return
    name, secret = await connection.fetchrow("SELECT quote_ident($1), quote_literal($2)", role, password) or (
        "",
        "",
    )
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD {secret}")
    # Functions of ours, not those of an extension that somebody else installed here.
    functions = await connection.fetchval(
        "SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND pg_get_userbyid(proowner) = current_user"
    )
    async with connection.transaction():  # a service at work never sees itself without rights
        await connection.execute(f"REVOKE ALL ON ROUTINE {functions} FROM PUBLIC, {name}; {_rights(name)}")
        await _close_database(connection, name)


# The rights of the services' role, and no DELETE: rows are what the ledger counts. The doctor compares these.
# In audit_log only these columns: with `id` a role could take the next ids and stop every later entry.
AUDIT_COLUMNS: Final = (
    "event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc"
)
GRANTS: Final = {
    **dict.fromkeys(
        (
            "lead_inbox",
            "email_delivery",
            "replay_queue",
            "scheduled_job",
            "partition_ledger",
            "stage_control",
            "queue_replay",
            "queue_replay_item",
        ),
        ("SELECT", "INSERT", "UPDATE"),
    ),
    "audit_log": ("SELECT", f"INSERT ({AUDIT_COLUMNS})"),
    "revoked_session": ("SELECT", "INSERT"),
    **dict.fromkeys(("schema_migration", "row_count", "queue_replay_result"), ("SELECT",)),
}
# Trigger functions are not among them: a trigger needs no EXECUTE of the role that fires it.
FUNCTIONS: Final = (
    "lead_words(text, text, text)",
    "record_addresses(bytea)",
    "erase_lead(uuid, text)",
    "erase_record(uuid, text)",
    "request_statistics()",
    "refresh_statistics()",
)


def _rights(role: str) -> str:
    """Return the statements that take every right away and grant what the services need."""
    tables = "; ".join(
        f"GRANT {', '.join(what)} ON public.{table} TO {role}" for table, what in GRANTS.items()
    )
    functions = ", ".join(f"public.{function}" for function in FUNCTIONS)
    return f"""
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}, PUBLIC;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role}, PUBLIC;
        REVOKE CREATE ON SCHEMA public FROM {role}, PUBLIC;
        GRANT USAGE ON SCHEMA public TO {role};
        {tables};
        ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION {functions} TO {role};
    """


async def _close_database(connection: Connection, role: str) -> None:
    """Deny temporary tables, which a search_path finds first, and schemas. Needs the database's owner."""
    database = await connection.fetchval(
        "SELECT quote_ident(datname) FROM pg_database"
        " WHERE datname = current_database() AND pg_has_role(current_user, datdba, 'USAGE')"
    )
    if database:  # else the doctor says what to do
        await connection.execute(f"REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC, {role}")


def main(
    quiet: Annotated[bool, typer.Option(help="Print nothing where there is nothing to do.")] = False,
) -> None:
    """Apply the migrations under deploy/migrations that the database does not have yet."""
    settings = load(MigrationSettings)
    service_url = settings.database_url.get_secret_value()
    owner = settings.migration_database_url or settings.database_url
    try:
        applied = event_loop.run(migrate(owner.get_secret_value(), service_url))
    except ssl.SSLCertVerificationError:
        sys.exit(
            "the database's certificate is not from the authority in sslrootcert, or for another name:"
            " check FASTCORE_MIGRATION_DATABASE_URL"
        )
    except (OSError, TimeoutError) as error:
        sys.exit(
            f"the database does not answer ({type(error).__name__}): check FASTCORE_MIGRATION_DATABASE_URL"
        )
    except asyncpg.PostgresError as error:
        sys.exit(f"the database refused a migration: {error.args[0]}")
    except RuntimeError as error:
        sys.exit(str(error))
    for name in applied:
        print(f"applied {name}")
    if not applied and not quiet:
        print("the database is up to date")


if __name__ == "__main__":
    typer.run(main)
