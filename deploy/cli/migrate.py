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

import asyncpg
import typer

from deploy.cli.audit.partitioning import partition_log
from deploy.cli.migration_file import MigrationFile, Statement, read_migration
from deploy.cli.role_rights import end_sessions_of_gone_clients, grant_rights
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
# How long one attempt waits for a lock. Meanwhile, queries of the services wait behind it. PostgreSQL looks
# for a deadlock only after deadlock_timeout (1 s). Before that, the migration gives up and tries again.
LOCK_TIMEOUT = "500ms"
RETRY_SECONDS = 1.0
ENCODING = "UTF8"
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
            await end_sessions_of_gone_clients(connection)
            await grant_rights(connection, service_url)
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
            await self._record_applied(file)
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
        await self._record_applied(file)
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

    async def _record_applied(self, file: MigrationFile) -> None:
        insert = "INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)"
        await self._connection.execute(insert, file.name, file.sha256)

    async def _drop_invalid_indexes(self) -> None:
        """Drop the invalid indexes of an interrupted `CREATE INDEX CONCURRENTLY`. No query uses them."""
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
                statement = "; ".join(_statements_of(error))
                msg = (
                    f"{file.name} was not applied: a transaction (a dump?) locks its tables. Find it in"
                    f" pg_stat_activity, or run this again later. Statement: {statement}"
                )
                raise RuntimeError(msg) from None
            await asyncio.sleep(RETRY_SECONDS)


def _statements_of(error: BaseException) -> list[str]:
    """Return the statements that `_execute` added to an error: one, or none."""
    return getattr(error, "__notes__", [])


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
        during = "".join(f" (statement: {note})" for note in _statements_of(error))
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
