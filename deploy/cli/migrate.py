"""`python -m deploy.cli.migrate`: apply each numbered SQL file once, then grant the services their rights.

A minimal migration runner: each plain SQL file runs in a transaction of its own, under an advisory lock. A
stored checksum shows whether a file was changed after it was applied.
"""

import asyncio
import hashlib
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import unquote, urlsplit

import asyncpg
import typer

from deploy.cli.audit.partitioning import partition_log
from deploy.cli.role_rights import rights_sql
from deploy.cli.search_index import ensure_search_index
from deploy.settings import MigrationSettings
from runtime import event_loop
from runtime.settings import load
from runtime.workarounds.asyncpg import Connector

MIGRATIONS = Path(__file__).parents[1] / "migrations"
FIRST = "0001_create_tables.sql"
LOCK = 0x66617374636F7265  # "fastcore"
# How long a migration tries to lock the tables, and how long one attempt waits. An attempt is longer than
# PostgreSQL's deadlock_timeout (1 s) and short enough that the queries that queue behind it hardly notice.
BUSY_SECONDS = 120
LOCK_TIMEOUT = "2s"
ENCODING = "UTF8"
CONNECT_SECONDS = 10.0
# A migration may rewrite a large table: a minute for a million leads.
COMMAND_SECONDS = 3600.0
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def migrate(owner_url: str, service_url: str) -> list[str]:
    """Apply the missing migrations, then grant the services' role its rights.

    Returns the names of the files that it applied. Several processes may call it at once. Raises
    `RuntimeError` if a file was changed after it was applied, if the tables stay locked, or if the database's
    encoding is wrong. Also raises the errors of asyncpg.
    """
    connection = await Connector(owner_url, CONNECT_SECONDS).connect(command_timeout=COMMAND_SECONDS)
    try:
        await _check_encoding(connection)
        applied = await _apply_missing(connection)
        if FIRST in applied:  # nothing older than this version uses a new database
            await partition_log(connection)
        async with _exclusive_transaction(connection):
            await _grant_rights(connection, service_url)
        await ensure_search_index(connection)
        return applied
    finally:
        await connection.close(timeout=5)


async def _check_encoding(connection: Connection) -> None:
    """Raise `RuntimeError` if the database's encoding cannot store every character of a lead."""
    encoding = await connection.fetchval("SELECT current_setting('server_encoding')")
    if encoding != ENCODING:
        todo = f"create it with ENCODING '{ENCODING}' TEMPLATE template0"
        raise RuntimeError(f"the database has the encoding {encoding}: {todo}")


@asynccontextmanager
async def _exclusive_transaction(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction that holds the migrations' lock, so that no other migration runs meanwhile.

    The lock ends with the transaction. A session's lock cannot be used behind a pooler in transaction mode:
    it would stay on the pooler's connection to the server.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        yield


async def _apply_missing(connection: Connection) -> list[str]:
    async with _exclusive_transaction(connection):
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
    return [
        path.name
        for path in sorted(MIGRATIONS.glob("[0-9]*.sql"))
        if await _apply_file(connection, path.name, path.read_text(encoding="utf-8"))
    ]


async def _apply_file(connection: Connection, name: str, sql: str) -> bool:
    """Apply one file and return True. Return False if the file has been applied before.

    All tables are locked before the file's first statement, which causes a short outage. Running services
    lock several tables in one transaction. If a file locked one table after the other, it could deadlock with
    a service.
    """
    digest = hashlib.sha256(sql.encode()).hexdigest()
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            async with _exclusive_transaction(connection):
                applied = await connection.fetchval(
                    "SELECT sha256 FROM schema_migration WHERE name = $1", name
                )
                if applied == digest:
                    return False
                if applied:
                    raise RuntimeError(f"{name} was changed after it was applied: add a new file instead")
                await _lock_tables(connection)
                await connection.execute(sql)
                await connection.execute(
                    "INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)", name, digest
                )
                return True
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if time.monotonic() > deadline:
                msg = (
                    f"{name} was not applied: a transaction (a dump?) locks its tables; run this again later"
                )
                raise RuntimeError(msg) from None
            await asyncio.sleep(1)


async def _lock_tables(connection: Connection) -> None:
    tables = await connection.fetchval(
        "SELECT string_agg(oid::regclass::text, ', ' ORDER BY relname) FROM pg_class"
        " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        " AND pg_get_userbyid(relowner) = current_user"
    )
    await connection.execute(
        f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;"
        " SET LOCAL lock_timeout TO DEFAULT"
    )


async def _grant_rights(connection: Connection, service_url: str) -> None:
    """Create the services' role if it does not exist, and grant it exactly what the services need."""
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
    # The owner's functions, not those of an extension that another role installed.
    functions = await connection.fetchval(
        "SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND pg_get_userbyid(proowner) = current_user"
    )
    async with connection.transaction():  # a running service never sees itself without rights
        await connection.execute(f"REVOKE ALL ON ROUTINE {functions} FROM PUBLIC, {name}; {rights_sql(name)}")
        await _restrict_database(connection, name)


async def _restrict_database(connection: Connection, role: str) -> None:
    """Revoke the rights to create schemas and temporary tables in the database.

    A temporary table could replace a table of the same name in a query. If the current role does not own the
    database, nothing is revoked, and the doctor reports it.
    """
    database = await connection.fetchval(
        "SELECT quote_ident(datname) FROM pg_database"
        " WHERE datname = current_database() AND pg_has_role(current_user, datdba, 'USAGE')"
    )
    if database:
        await connection.execute(f"REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC, {role}")


def main(
    quiet: Annotated[bool, typer.Option(help="Print nothing if the database is up to date.")] = False,
) -> None:
    """Apply the missing migrations of deploy/migrations, then grant the services' role its rights."""
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
        sys.exit(
            f"the database refused a migration: {error.args[0]}. The failed step changed nothing:"
            " correct the cause, then run this again"
        )
    except RuntimeError as error:
        sys.exit(str(error))
    for name in applied:
        print(f"applied {name}")
    if not applied and not quiet:
        print("the database is up to date")


if __name__ == "__main__":
    typer.run(main)
