"""The pool, bounded transactions, the failure words for PostgreSQL, and the loader of named queries."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import aiosql
import asyncpg
from asyncpg.pool import PoolConnectionProxy

from runtime.database.connect import CLOSE_SECONDS, DRIVER_ERRORS, Connector, Session
from runtime.failures import DependencyRefused, DependencyUnavailable, Failure, RetryableError
from runtime.settings import Postgres
from runtime.tracing import spans

# Strings: the drivers' classes are generic in their stubs only.
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

ACQUIRE_SECONDS = 10.0
# How long a cancel request may take to reach a server that answers.
CANCEL_SECONDS = 1.0
# Below the bound of a health check (`health.CHECK_SECONDS`), so that the reason says what is wrong.
PING_SECONDS = 1.2
# Classes of SQLSTATE that are the data's fault (PostgreSQL manual, appendix A): data exception,
# integrity constraint violation, program limit exceeded (a value too long for an index). What asyncpg
# itself cannot encode has 22000.
_DATA_CLASSES = ("22", "23", "54")
# Classes that say nothing about the data: no connection (08), a statement or plan that a pooler lost (0A, 26,
# 42P05), a transaction that cannot go on, as on a standby (25), no login (28), no database (3D), rolled back,
# as by a deadlock (40), no resources (53), a lock that is held (55), an operator's word (57), the system's
# fault (58), the server's configuration (F0). Any other (P0001 of a trigger, 42501, 38 and 39 of a
# function, XX of a damaged page) may be one row's fault.
_WORLD_CLASSES = ("08", "0A", "25", "26", "28", "3D", "40", "42P05", "53", "55", "57", "58", "F0")
# Codes after which every connection of the pool is replaced (PostgreSQL manual, appendix A):
# 08 the connection failed, also PgBouncer's own errors (08P01); 25006 the server has become read-only; 26000
# and 42P05 a pooler lost or mixed up prepared statements; 53 the server lacks room, which idle ones take up
# (53300 too many connections, 53200 out of memory); 57P01 to 57P05 the server ended the session or stops.
_LOST = ("08", "25006", "26000", "42P05", "53", "57P")
# Without arguments asyncpg takes the simple query protocol, and says how many rows came.
_IS_READ_ONLY = "SELECT WHERE current_setting('transaction_read_only') = 'on'"
# The name of each query by its text, for its span.
_NAMES = {"COMMIT;": "commit", "ROLLBACK;": "rollback"}


def load_queries(path: Path) -> Any:
    """Load the named queries of a `.sql` file; each is a method that takes the connection first."""
    queries = aiosql.from_path(path, "asyncpg", mandatory_parameters=False)
    _NAMES.update({getattr(queries, name).sql: name for name in queries.available_queries})
    return queries


def translate(error: Exception) -> Failure:
    """Say in our own words what a driver's error means. Never uses its text: it holds the row."""
    if isinstance(error, asyncpg.PostgresError):
        state = getattr(error, "sqlstate", None) or "unknown"
        if state.startswith(_DATA_CLASSES):
            return RetryableError(f"database refused the data ({state})")
        word = DependencyUnavailable if state.startswith((*_WORLD_CLASSES, "unknown")) else DependencyRefused
        return word("database", f"database answered {state}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return DependencyUnavailable(
            "database", "database's certificate is not from our authority, or for another name"
        )
    return DependencyUnavailable("database", "database does not answer")


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    if spans.enabled():
        connection.add_query_logger(_trace)


def _trace(query: "asyncpg.connection.LoggedQuery") -> None:
    if name := _NAMES.get(query.query):
        spans.note_query(name.removesuffix("_cursor"), query.elapsed, query.exception)


async def _keep_session(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Let a connection go back to the pool as it is: our locks and settings end with their transaction.

    What asyncpg would send instead is a round trip after each use. It still ends an open transaction itself.
    """


@asynccontextmanager
async def open_pool(settings: Postgres, name: str) -> AsyncIterator[Pool]:
    """Open a pool that connects on first use, so that a service starts while the database is away."""
    url = settings.url.get_secret_value()
    pool = asyncpg.create_pool(
        connect=Connector(url, settings.connect_timeout_seconds).connect,
        connection_class=Session,
        min_size=0,
        max_size=settings.pool_max,
        command_timeout=settings.command_timeout_seconds,
        # Times that come within JSON are in UTC too, whatever the server's zone is.
        server_settings={"application_name": f"fastcore-{name}", "timezone": "UTC"},
        init=_prepare,
        reset=_keep_session,
    )
    await pool  # Makes it usable; connects nothing, for min_size is 0.
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
        except TimeoutError:
            pool.terminate()


@asynccontextmanager
async def _connected(pool: Pool) -> AsyncIterator[Connection]:
    """Take a connection from the pool; raise what `translate` returns. Replaces connections that are lost."""
    try:
        async with pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
            try:
                yield connection
            except DRIVER_ERRORS as error:
                if _is_lost(error):
                    _close(connection)
                raise
    except DRIVER_ERRORS as error:
        if _is_lost(error):
            # The others too: an idle connection notices no failover. Each is replaced before its next use.
            await pool.expire_connections()
        raise translate(error) from error


def _close(connection: Connection) -> None:
    """Close without a word to the server. The pool takes such a connection back at once, and only once."""
    with contextlib.suppress(asyncpg.InterfaceError):
        connection.terminate()


def _is_lost(error: Exception) -> bool:
    """Return True if the server behind the connection may be gone or have another role now."""
    if isinstance(error, asyncpg.PostgresError):
        return (getattr(error, "sqlstate", None) or "").startswith(_LOST)
    return True


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Run one transaction. Raises `RetryableError` if the data is at fault, else `DependencyUnavailable`."""
    async with _connected(pool) as connection, connection.transaction(), _bounded(connection):
        yield connection


@asynccontextmanager
async def _bounded(connection: Connection) -> AsyncIterator[None]:
    """Close the connection of a statement that took too long, once its cancel request had time to arrive.

    asyncpg sends that request when it raises `TimeoutError`. A server that hangs would keep the ROLLBACK for
    as long again.
    """
    try:
        yield
    except TimeoutError:
        await asyncio.sleep(CANCEL_SECONDS)
        _close(connection)
        raise


@asynccontextmanager
async def autocommit(pool: Pool) -> AsyncIterator[Connection]:
    """Run single statements, each a transaction by itself: begin and commit are no round trips then."""
    async with _connected(pool) as connection, _bounded(connection):
        yield connection


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """Read several queries as of one moment: repeatable read, read only."""
    async with (
        _connected(pool) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
        _bounded(connection),
    ):
        yield connection


@asynccontextmanager
async def connection_within_deadline(pool: Pool) -> AsyncIterator[Connection]:
    """Give a connection for a moment. Raises `DependencyUnavailable` after `PING_SECONDS`.

    No transaction: a server that hangs would hold its end.
    """
    busy = not has_room(pool)
    try:
        async with asyncio.timeout(PING_SECONDS), _connected(pool) as connection:
            busy = False
            try:
                yield connection
            except BaseException:
                _close(connection)
                raise
    except TimeoutError as error:
        if busy:  # that others use every connection says nothing about the server
            raise DependencyUnavailable("database", "all connections to the database are in use") from error
        await pool.expire_connections()
        raise translate(error) from error


def has_room(pool: Pool) -> bool:
    """Return whether the pool has a connection that nobody uses, or may open one."""
    return bool(pool.get_idle_size()) or pool.get_size() < pool.get_max_size()


async def ping(pool: Pool) -> None:
    """Return if the database is writable now; raise `DependencyUnavailable` in a moment if it is not."""
    async with connection_within_deadline(pool) as connection:
        if await connection.execute(_IS_READ_ONLY) != "SELECT 0":
            raise asyncpg.ReadOnlySQLTransactionError("the server is read-only")


def check_database(settings: Postgres, pool: Pool) -> Callable[[], Awaitable[None]]:
    """Return the health check of the database. A pool whose connections are all in use gets a further one."""
    spare = Connector(settings.url.get_secret_value(), PING_SECONDS)

    async def check() -> None:
        if has_room(pool):
            await ping(pool)
            return
        try:
            (await spare.connect()).terminate()
        except DRIVER_ERRORS as error:
            raise translate(error) from error

    return check
