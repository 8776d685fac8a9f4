"""The pool, bounded transactions, the failure words for PostgreSQL, and the loader of named queries."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import aiosql
import asyncpg
from asyncpg.pool import PoolConnectionProxy

from runtime import tracing
from runtime.failures import FailedNow, Failure, Refused, WorldAway
from runtime.settings import Postgres

# Strings: the drivers' classes are generic in their stubs only.
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

CLOSE_SECONDS = 3.0
# What asyncpg raises. The third is of no family of its own: a connection that the server cuts at a bad
# moment breaks inside the driver (seen: 92 of 3,600 uses). The pool drops it.
FAULTS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
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
            return FailedNow(f"database refused the data ({state})")
        word = WorldAway if state.startswith((*_WORLD_CLASSES, "unknown")) else Refused
        return word("database", f"database answered {state}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return WorldAway("database", "database's certificate is not from our authority, or for another name")
    return WorldAway("database", "database does not answer")


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    if tracing.on():
        connection.add_query_logger(_trace)


def _trace(query: "asyncpg.connection.LoggedQuery") -> None:
    if name := _NAMES.get(query.query):
        tracing.note_query(name.removesuffix("_cursor"), query.elapsed, query.exception)


async def _keep_session(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Let a connection go back to the pool as it is: our locks and settings end with their transaction.

    What asyncpg would send instead is a round trip after each use. It still ends an open transaction itself.
    """


@asynccontextmanager
async def open_pool(settings: Postgres, name: str) -> AsyncIterator[Pool]:
    """Open a pool that connects on first use, so that a service starts while the database is away."""
    pool = asyncpg.create_pool(
        settings.url.get_secret_value(),
        min_size=0,
        max_size=settings.pool_max,
        timeout=settings.connect_timeout_seconds,
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
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Run one transaction; raise `FailedNow` for the data's fault and `WorldAway` for all others'."""
    try:
        async with pool.acquire(timeout=10) as connection, connection.transaction():
            yield connection
    except FAULTS as error:
        raise translate(error) from error


@asynccontextmanager
async def autocommit(pool: Pool) -> AsyncIterator[Connection]:
    """Run single statements, each a transaction by itself: begin and commit are no round trips then."""
    try:
        async with pool.acquire(timeout=10) as connection:
            yield connection
    except FAULTS as error:
        raise translate(error) from error


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """Read several queries as of one moment: repeatable read, read only."""
    try:
        async with (
            pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection
    except FAULTS as error:
        raise translate(error) from error
