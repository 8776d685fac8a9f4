"""The connection pool, bounded transactions, the translation of errors, and the loader of named queries."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias

import aiosql
import asyncpg
from asyncpg.pool import PoolConnectionProxy

from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import DependencyRefused, DependencyUnavailable, Failure, RetryableError
from runtime.settings import Postgres
from runtime.tracing import spans
from runtime.workarounds.asyncpg import (
    CLOSE_SECONDS,
    DRIVER_ERRORS,
    Connector,
    QuietConnection,
    terminate,
    terminate_after_timeout,
)

# Strings: the drivers' classes are generic in their stubs only.
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class Lease(Protocol):
    """A context manager that returns its connection to the pool at the end."""

    async def __aenter__(self) -> Connection: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None: ...


class Pool(Protocol):
    """A pool of asyncpg, or one service's share of it."""

    def acquire(self, *, timeout: float | None = None) -> Lease:
        """Return a connection, as a context. Raises `TimeoutError` if none is free in time."""

    async def expire_connections(self) -> None:
        """Replace each connection at its next use."""

    def get_size(self) -> int:
        """Return the number of open connections."""

    def get_idle_size(self) -> int:
        """Return the number of open connections that nobody uses."""

    def get_max_size(self) -> int:
        """Return the largest number of connections."""


OpenPool: TypeAlias = Callable[[Postgres, str], AbstractAsyncContextManager[Pool]]
"""Opens a pool with these settings, for the service with this name."""

ACQUIRE_SECONDS: Final = 10.0
# Below the timeout of a health check (`health.CHECK_SECONDS`), so that the reason says what is wrong.
PING_SECONDS = 1.2
# What an SQLSTATE says about the records being stored, by its class or code (PostgreSQL manual, appendix A):
# 1. The data is at fault: data exception, integrity constraint violation, program limit exceeded (a value too
#    long for an index). What asyncpg itself cannot encode has 22000. The record waits in the replay queue.
_DATA_CLASSES = ("22", "23", "54")
# 2. The server or the connection is at fault: no connection (08), a statement or plan that a pooler lost
#    (0A, 26, 42P05), a transaction that cannot go on, as on a standby (25), no login (28), no database (3D),
#    rolled back, as by a deadlock (40), no resources (53), a lock that is held (55), an operator's command
#    (57), a system error (58), the server's configuration (F0). The consumer pauses and blames no record.
_SERVER_CLASSES = ("08", "0A", "25", "26", "28", "3D", "40", "42P05", "53", "55", "57", "58", "F0")
# 3. Any other (P0001 of a trigger, 42501, 38 and 39 of a function, XX of a damaged page) may be one record's
#    fault. The batch is halved until that record is alone.
#
# After some errors of the second kind, every connection of the pool is replaced: the connection failed, also
# PgBouncer's own errors (08); the server has become read-only (25006); a pooler lost or mixed up prepared
# statements (26000, 42P05); the server lacks resources, which idle connections use (53); the server ended the
# session or stops (57P).
_LOST_CLASSES = ("08", "25006", "26000", "42P05", "53", "57P")
# Without arguments asyncpg uses the simple query protocol, which returns the number of rows.
_IS_READ_ONLY = "SELECT WHERE current_setting('transaction_read_only') = 'on'"
# The name of each query by its text, for its span.
_QUERY_NAMES = {"COMMIT;": "commit", "ROLLBACK;": "rollback"}


def load_queries(path: Path, **fragments: str) -> Any:
    """Return an object with a method for each named query of a `.sql` file.

    The first argument of each method is the connection. `{name}` in the file is replaced by the SQL of the
    fragment with this name.
    """
    sql = path.read_text(encoding="utf-8")
    for name, fragment in fragments.items():
        sql = sql.replace("{" + name + "}", fragment.strip())
    queries = aiosql.from_str(sql, "asyncpg", mandatory_parameters=False)
    _QUERY_NAMES.update({getattr(queries, name).sql: name for name in queries.available_queries})
    return queries


def translate_error(error: Exception) -> Failure:
    """Return the failure that an error of asyncpg means.

    Ignores the error's text, which may quote the row.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = getattr(error, "sqlstate", None) or "unknown"
        if state.startswith(_DATA_CLASSES):
            return RetryableError(Reason.DATA_REFUSED.format(sqlstate=state))
        is_server = state.startswith((*_SERVER_CLASSES, "unknown"))
        failure = DependencyUnavailable if is_server else DependencyRefused
        return failure("database", Reason.DATABASE_ANSWERED.format(sqlstate=state))
    if isinstance(error, ssl.SSLCertVerificationError):
        return DependencyUnavailable(
            "database", "database's certificate is not from our authority, or for another name"
        )
    return DependencyUnavailable("database", "database does not answer")


async def _init_connection(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    if spans.enabled():
        connection.add_query_logger(_trace_query)


def _trace_query(query: "asyncpg.connection.LoggedQuery") -> None:
    if name := _QUERY_NAMES.get(query.query):
        spans.record_query(name.removesuffix("_cursor"), query.elapsed, query.exception)


async def _reset_nothing(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Do nothing when a connection returns to the pool, instead of asyncpg's reset, which costs a round trip.

    No reset is needed: our locks and settings end with the transaction, and asyncpg ends an open transaction.
    """


def report_pool(pool: Pool, in_use: Callable[[], float]) -> None:
    """Let the metrics of the current service show this pool, or this share of one."""
    metrics.POOL_MAX.set(pool.get_max_size())
    metrics.POOL_IDLE.set_function(pool.get_idle_size)
    metrics.POOL_IN_USE.set_function(in_use)


@asynccontextmanager
async def open_pool(settings: Postgres, name: str) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """Open a pool that connects on first use, so that a service starts while the database is unavailable."""
    url = settings.url.get_secret_value()
    pool = asyncpg.create_pool(
        connect=Connector(url, settings.connect_timeout_seconds).connect,
        connection_class=QuietConnection,
        min_size=0,
        max_size=settings.pool_max,
        command_timeout=settings.command_timeout_seconds,
        # Times inside JSON are in UTC too, whatever the server's time zone is.
        server_settings={"application_name": f"fastcore-{name}", "timezone": "UTC"},
        init=_init_connection,
        reset=_reset_nothing,
    )
    await pool  # Initializes it without connecting, because min_size is 0.
    report_pool(pool, lambda: pool.get_size() - pool.get_idle_size())
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
        except TimeoutError:
            pool.terminate()


@asynccontextmanager
async def _acquire(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection; translate the driver's errors. After a lost connection, renew the whole pool."""
    began, acquired = time.perf_counter(), False
    try:
        async with pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
            acquired = True
            metrics.POOL_ACQUIRE_SECONDS.observe(time.perf_counter() - began)
            try:
                yield connection
            except DRIVER_ERRORS as error:
                if _is_lost(error):
                    terminate(connection)
                raise
    except DRIVER_ERRORS as error:
        if _is_lost(error):
            # Replace each other connection at its next use: an idle connection does not notice a failover.
            await pool.expire_connections()
        raise translate_error(error) from error
    finally:
        if not acquired:
            metrics.POOL_FAILURES.inc()


def _is_lost(error: Exception) -> bool:
    """Return True if, after this error, the server may be gone or may no longer be the primary."""
    if isinstance(error, asyncpg.PostgresError):
        return (getattr(error, "sqlstate", None) or "").startswith(_LOST_CLASSES)
    return True


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Run the body in one transaction.

    Raises `RetryableError` if the server rejects the data, and `DependencyRefused` if it is unclear whether
    the data or the server is at fault. Raises `DependencyUnavailable` for every other error.
    """
    async with _acquire(pool) as connection, connection.transaction(), terminate_after_timeout(connection):
        yield connection


@asynccontextmanager
async def transaction_within(pool: Pool, seconds: float) -> AsyncIterator[Connection]:
    """Run the body in one transaction that ends within `seconds`, with the wait for a connection.

    Raises what `transaction` raises. After `seconds` it raises `DependencyUnavailable` and closes the
    connection, which takes up to `CANCEL_SECONDS` more. If that happens during the commit, the transaction
    may still be committed.
    """
    try:
        async with asyncio.timeout(seconds), _acquire(pool) as connection:
            try:
                async with (
                    connection.transaction(),
                    terminate_after_timeout(connection, or_cancellation=True),
                ):
                    yield connection
            except asyncio.CancelledError:  # during BEGIN or COMMIT
                terminate(connection)
                raise
    except TimeoutError as error:
        raise translate_error(error) from error


@asynccontextmanager
async def autocommit(pool: Pool) -> AsyncIterator[Connection]:
    """Run each statement in a transaction of its own, which saves the round trips of BEGIN and COMMIT.

    Raises the same failures as `transaction`.
    """
    async with _acquire(pool) as connection, terminate_after_timeout(connection):
        yield connection


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """Run several queries on one read-only snapshot (repeatable read). Raises what `transaction` raises."""
    async with (
        _acquire(pool) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
        terminate_after_timeout(connection),
    ):
        yield connection


@asynccontextmanager
async def connection_within_deadline(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection. Raises `DependencyUnavailable` if the body has not ended within `PING_SECONDS`.

    Opens no transaction, because its ROLLBACK would exceed the time limit if the server hangs.
    """
    pool_exhausted = not has_free_connection(pool)
    try:
        async with asyncio.timeout(PING_SECONDS), _acquire(pool) as connection:
            pool_exhausted = False
            try:
                yield connection
            except BaseException:
                terminate(connection)
                raise
    except TimeoutError as error:
        if pool_exhausted:  # that says nothing about the server
            raise DependencyUnavailable("database", "all connections to the database are in use") from error
        await pool.expire_connections()
        raise translate_error(error) from error


def has_free_connection(pool: Pool) -> bool:
    """Return True if the pool has an idle connection, or may open another."""
    return bool(pool.get_idle_size()) or pool.get_size() < pool.get_max_size()


async def ping(pool: Pool) -> None:
    """Check that the database is writable. If not, raise `DependencyUnavailable` within `PING_SECONDS`."""
    async with connection_within_deadline(pool) as connection:
        if await connection.execute(_IS_READ_ONLY) != "SELECT 0":
            raise asyncpg.ReadOnlySQLTransactionError("the server is read-only")
