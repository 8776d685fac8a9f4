"""`python -m deploy.cli.migrate`: apply each numbered SQL file once, then grant the services their rights.

A minimal migration runner. Each file is applied in a transaction of its own, under an advisory lock; a file
`NNNN_verb_noun.online.sql` has a transaction for each statement (docs/decisions/0072). A stored checksum
shows whether a file was changed after it was applied.
"""

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

import asyncpg
import typer

from deploy.cli.audit.partitioning import partition_log
from deploy.cli.migration_file import MigrationFile, Statement, read_migration
from deploy.cli.role_rights import rights_sql
from deploy.cli.search_index import ensure_search_index
from deploy.cli.statement_watch import SilentServerError, watched
from deploy.settings import MigrationSettings
from runtime import event_loop
from runtime.settings import load
from runtime.workarounds.asyncpg import Connector, QuietConnection

MIGRATIONS = Path(__file__).parents[1] / "migrations"
FIRST = "0001_create_tables.sql"
LOCK = 0x66617374636F7265  # "fastcore"
# How long a file is tried again while other transactions lock its tables.
BUSY_SECONDS = 120
# How long one attempt waits for a lock. Queries of the services queue behind it meanwhile. It is shorter than
# PostgreSQL's deadlock_timeout (1 s), so in a deadlock the migration always gives up first, and tries again.
LOCK_TIMEOUT = "500ms"
RETRY_SECONDS = 1.0
ENCODING = "UTF8"
# A client that vanishes inside a transaction, by a partition of the network or with its machine, leaves its
# locks behind. The operating system would notice it after two hours. With these, in seconds and milliseconds,
# after half a minute. A timeout of idle transactions would also end those that hold the lock of a job.
GONE_CLIENT_SETTINGS = {
    "tcp_keepalives_idle": 15,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
CONNECT_SECONDS = 10.0
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
T = TypeVar("T")


async def migrate(owner_url: str, service_url: str) -> list[str]:
    """Apply the missing migrations, then grant the services' role its rights.

    Returns the names of the files that it applied. Several processes may call it at once. A statement may
    take as long as it needs: `watched` reports it, and ends it if the server answers no other connection
    either. Raises `RuntimeError` if a file was changed after it was applied, if the tables stay locked, or if
    the database's encoding is wrong. Also raises the errors of asyncpg, with the statement as a note.
    """
    connector = Connector(owner_url, CONNECT_SECONDS)
    connection = await connector.connect()
    try:
        await _check_encoding(connection)
        applied = await _Files(connection, connector).apply_missing()
        if FIRST in applied:  # nothing older than this version uses a new database
            await partition_log(connection)
        async with _exclusive_transaction(connection):
            await _end_sessions_of_gone_clients(connection)
            await _grant_rights(connection, service_url)
        async with watched(connection, connector, "CREATE INDEX CONCURRENTLY lead_inbox_search"):
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
async def _transaction(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction. Unlike asyncpg's, it lets an error pass if the connection was terminated."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    except BaseException:
        if not connection.is_closed():
            await transaction.rollback()
        raise
    await transaction.commit()


@asynccontextmanager
async def _exclusive_transaction(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction that holds the migrations' lock, so that no other migration runs meanwhile.

    The lock ends with the transaction. A session's lock cannot be used behind a pooler in transaction mode:
    it would stay on the pooler's connection to the server.
    """
    async with _transaction(connection):
        # By the simple protocol: the portal of a statement with arguments would keep its snapshot, for which
        # CREATE INDEX CONCURRENTLY waits.
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        yield


class _Files:
    """Applies the missing files by one connection."""

    def __init__(self, connection: QuietConnection, connector: Connector) -> None:
        self._connection = connection
        self._connector = connector

    async def apply_missing(self) -> list[str]:
        """Return the names of the files that it applied."""
        async with _exclusive_transaction(self._connection):
            await self._connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, sha256 text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now())"
            )
        files = [read_migration(path) for path in sorted(MIGRATIONS.glob("[0-9]*.sql"))]
        return [file.name for file in files if await self._apply(file)]

    async def _apply(self, file: MigrationFile) -> bool:
        """Apply a file and return True. Return False if it has been applied before."""
        if not file.is_online:
            return await _with_patience(file, partial(self._apply_at_once, file))
        # Another connection has the lock, because this one begins and ends transactions. It has no snapshot
        # while it waits, so CREATE INDEX CONCURRENTLY does not wait for it.
        locking = await self._connector.connect()
        try:
            async with _exclusive_transaction(locking):
                return await self._apply_online(file)
        finally:
            await locking.close(timeout=5)

    async def _apply_at_once(self, file: MigrationFile) -> bool:
        async with _exclusive_transaction(self._connection):
            if await self._was_applied(file):
                return False
            await self._connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            for statement in file.statements:
                await self._execute(statement)
            await self._note_applied(file)
            return True

    async def _apply_online(self, file: MigrationFile) -> bool:
        """Apply a file statement by statement.

        After an interruption, the file is applied from its beginning: each of its statements may run twice.
        """
        if await self._was_applied(file):
            return False
        for statement in file.statements:
            if statement.is_concurrent:
                await self._drop_invalid_indexes()
                # It takes no lock that a reader or a writer waits for, and waits for old transactions to end.
                await self._execute(statement)
            else:
                while await _with_patience(file, partial(self._execute_briefly, statement)):
                    if not statement.is_repeated:
                        break
        await self._note_applied(file)
        return True

    async def _execute_briefly(self, statement: Statement) -> int:
        """Execute one statement in a transaction. Return the number of rows that it changed.

        Then wait as long as it took, so that a statement that is repeated uses half of a core at most.
        """
        began = time.monotonic()
        async with _transaction(self._connection):
            await self._connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            status = await self._execute(statement)
        if statement.is_repeated:
            await asyncio.sleep(time.monotonic() - began)
        return int(status.rpartition(" ")[2]) if status[-1:].isdigit() else 0

    async def _execute(self, statement: Statement) -> str:
        """Execute a statement and return its status. The errors of asyncpg get the statement as a note."""
        try:
            async with watched(self._connection, self._connector, str(statement)):
                return await self._connection.execute(statement.sql)
        except (asyncpg.PostgresError, OSError) as error:
            error.add_note(str(statement))
            raise

    async def _was_applied(self, file: MigrationFile) -> bool:
        """Raise `RuntimeError` if the file was changed after it was applied."""
        select = "SELECT sha256 FROM schema_migration WHERE name = $1"
        applied = await self._connection.fetchval(select, file.name)
        if applied and applied != file.sha256:
            raise RuntimeError(f"{file.name} was changed after it was applied: add a new file instead")
        return bool(applied)

    async def _note_applied(self, file: MigrationFile) -> None:
        insert = "INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)"
        await self._connection.execute(insert, file.name, file.sha256)

    async def _drop_invalid_indexes(self) -> None:
        """Drop what an interrupted `CREATE INDEX CONCURRENTLY` left. No query uses such an index."""
        invalid = await self._connection.fetch(
            "SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
            " WHERE NOT indisvalid AND relkind = 'i' AND relnamespace = 'public'::regnamespace"
            " AND pg_get_userbyid(relowner) = current_user"
        )
        for row in invalid:
            await self._connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {row['name']}")


async def _with_patience(file: MigrationFile, apply: Callable[[], Awaitable[T]]) -> T:
    """Call `apply`, and again while other transactions hold the locks, for `BUSY_SECONDS` in all.

    Raises `RuntimeError` after that.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return await apply()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if time.monotonic() > deadline:
                msg = (
                    f"{file.name} was not applied: a transaction (a dump?) locks its tables. Find it in"
                    f" pg_stat_activity, or run this again later. Statement: {'; '.join(_notes(error))}"
                )
                raise RuntimeError(msg) from None
            await asyncio.sleep(RETRY_SECONDS)


def _notes(error: BaseException) -> list[str]:
    """Return the statements that `_execute` added to an error: one, or none."""
    return getattr(error, "__notes__", [])


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
    if database := await _owned_database(connection):
        await connection.execute(f"REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC, {role}")


async def _end_sessions_of_gone_clients(connection: Connection) -> None:
    """Let new sessions of the database notice a client that is gone. Does nothing if another role owns it."""
    if database := await _owned_database(connection):
        for setting, value in GONE_CLIENT_SETTINGS.items():
            await connection.execute(f"ALTER DATABASE {database} SET {setting} = {value}")


async def _owned_database(connection: Connection) -> str | None:
    """Return the quoted name of the database, or None if the current role does not own it."""
    name: str | None = await connection.fetchval(
        "SELECT quote_ident(datname) FROM pg_database"
        " WHERE datname = current_database() AND pg_has_role(current_user, datdba, 'USAGE')"
    )
    return name


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
    except SilentServerError as error:
        sys.exit(str(error))
    except (OSError, TimeoutError) as error:
        sys.exit(
            f"the database does not answer ({type(error).__name__}): check FASTCORE_MIGRATION_DATABASE_URL"
        )
    except asyncpg.PostgresError as error:
        during = "".join(f" (statement: {note})" for note in _notes(error))
        sys.exit(
            f"the database refused a migration: {error.args[0]}{during}. The failed step changed nothing:"
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
