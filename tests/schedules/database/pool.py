"""A pool of connections to the database in memory, with the interface of asyncpg that the product uses."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import asyncpg

from runtime.database.postgres import load_queries
from runtime.settings import Postgres
from tests.schedules.database.server import Database, Row, Transaction
from tests.schedules.simulation.event_loop import Process, current_process

Query = Callable[[Transaction, Any], Awaitable[list[Row]]]
_REFUSED: Final = "the server is stopped"
_CLOSED: Final = "connection is closed"


class _Parameters:
    """The parameters of one statement, as attributes."""

    def __init__(self, names: list[str], values: tuple[Any, ...]) -> None:
        self.__dict__.update(zip(names, values, strict=True))


class Statements:
    """The queries that the database can answer: the product's SQL texts, each with a function."""

    def __init__(self) -> None:
        self._queries: dict[str, tuple[list[str], Query]] = {}

    def add(self, path: Any, functions: dict[str, Query], **fragments: str) -> None:
        """Answer the named queries of a `.sql` file by these functions. `fragments` are parts of its text."""
        queries = load_queries(path, **fragments)
        for name, function in functions.items():
            parameters = queries.driver_adapter.var_sorted[name]
            self._queries[getattr(queries, name).sql] = (list(parameters), function)

    async def run(self, transaction: Transaction, sql: str, values: tuple[Any, ...]) -> list[Row]:
        """Answer one statement."""
        names, function = self._queries[sql]
        return await function(transaction, _Parameters(names, values))


class Connection:
    """A connection. A statement outside of a transaction is a transaction of its own."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self.closed = False
        self._transaction: Transaction | None = None

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        """Run a statement, and return its rows."""
        database = self._pool.database
        await self._travel()
        own = self._transaction or database.begin()
        self._pool.note_begin(own)
        if not own.active:
            raise asyncpg.ConnectionDoesNotExistError(_CLOSED)
        if own.failed:
            raise asyncpg.InFailedSQLTransactionError("current transaction is aborted")
        try:
            async with asyncio.timeout(self._pool.command_seconds):
                rows = await self._pool.statements.run(own, sql, values)
            if self._transaction is None:
                self._commit_statement(own)
        except BaseException:
            own.failed = True
            raise
        finally:
            if self._transaction is None:
                own.end()
        await self._travel()
        return rows

    async def fetchrow(self, sql: str, *values: Any) -> Row | None:
        """Return the first row, or None."""
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *values: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Return the first value of the first row, or None."""
        del timeout
        row = await self.fetchrow(sql, *values)
        return next(iter(row.values())) if row else None

    async def execute(self, sql: str, *values: Any) -> str:
        """Run a statement without rows, or the check of the server's state."""
        if sql.startswith("SELECT WHERE current_setting"):
            await self._travel()
            return "SELECT 0"
        await self.fetch(sql, *values)
        return "DONE"

    @asynccontextmanager
    async def transaction(self, **_: Any) -> AsyncIterator[None]:
        """Run the body in a transaction: committed at the end, rolled back after an error."""
        await self._travel()
        self._transaction = self._pool.database.begin()
        self._pool.note_begin(self._transaction)
        try:
            yield
        except BaseException:
            if self.closed:
                self._transaction.end()
            else:
                await self._roll_back()
            raise
        else:
            await self._commit()
        finally:
            self._transaction.end()
            self._transaction = None

    async def _roll_back(self) -> None:
        assert self._transaction
        try:
            await self._travel()
        finally:
            self._transaction.end()

    async def _commit(self) -> None:
        assert self._transaction
        await self._travel()
        if not self._transaction.active:
            raise asyncpg.ConnectionDoesNotExistError(_CLOSED)
        if self._transaction.failed:  # PostgreSQL answers COMMIT with ROLLBACK
            self._transaction.end()
        else:
            self._transaction.commit()
            self._lose_reply()
        await self._travel()

    def _commit_statement(self, own: Transaction) -> None:
        has_written = own.has_written
        own.commit()
        if has_written:
            self._lose_reply()

    def _lose_reply(self) -> None:
        """Break the connection after a commit, if a fault of the schedule says so."""
        database = self._pool.database
        if database.lose_next_reply:
            database.lose_next_reply = False
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def _travel(self) -> None:
        """Take half a round trip. Raises what asyncpg raises for a closed connection or a hanging server."""
        if self.closed:
            raise asyncpg.InterfaceError(_CLOSED)
        await asyncio.sleep(self._pool.latency())
        if self._pool.database.hangs:
            await self._pool.wait_while_hanging()
        if not self._pool.database.up or self.closed:
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError(_CLOSED)

    def terminate(self) -> None:
        """Close the connection at once; its transaction is rolled back."""
        self.closed = True
        if self._transaction:
            self._transaction.end()


class Pool:
    """A process's pool. It ends its transactions when the process is killed."""

    def __init__(
        self, database: Database, statements: Statements, rng: Random, process: Process, settings: Postgres
    ) -> None:
        self.database, self.statements = database, statements
        self.command_seconds = settings.command_timeout_seconds
        self._rng = rng
        self._size = settings.pool_max
        self._free = asyncio.Semaphore(self._size)
        self._used = 0
        self._begun: list[Transaction] = []
        process.on_kill.append(self._kill)

    def latency(self) -> float:
        """Return the seconds of half a round trip, sometimes many."""
        draw = self._rng.random()
        slow = 2.0 * self._rng.random() if draw < 0.01 else 0.0
        return (0.0003 + 0.002 * draw) * self.database.slow_factor + slow

    async def wait_while_hanging(self) -> None:
        """Wait until the server answers again. Raises `TimeoutError` after the command timeout."""
        ends = time.monotonic() + self.command_seconds
        while self.database.hangs:
            if time.monotonic() >= ends:
                raise TimeoutError
            await asyncio.sleep(0.25)

    def note_begin(self, transaction: Transaction) -> None:
        """Remember a transaction, for the case that the process is killed."""
        self._begun = [each for each in self._begun if each.active and each is not transaction]
        self._begun.append(transaction)

    def _kill(self) -> None:
        for transaction in self._begun:
            transaction.end()

    def acquire(self, *, timeout: float | None = None) -> "_Lease":
        """Return a connection, as a context."""
        return _Lease(self, timeout)

    async def take(self, timeout: float | None) -> Connection:  # noqa: ASYNC109
        """Return a connection. Raises `TimeoutError` if none is free, and `OSError` if the server is down."""
        async with asyncio.timeout(timeout):
            await self._free.acquire()
        self._used += 1
        try:
            if not self.database.up:
                await asyncio.sleep(self.latency())
                raise ConnectionRefusedError(_REFUSED)
        except BaseException:
            self.give_back()
            raise
        return Connection(self)

    def give_back(self) -> None:
        """Let the next caller have a connection."""
        self._used -= 1
        self._free.release()

    async def expire_connections(self) -> None:
        """Do nothing: each use opens a connection."""

    def get_size(self) -> int:
        """Return the number of connections in use."""
        return self._used

    def get_idle_size(self) -> int:
        """Return 0: each use opens a connection."""
        return 0

    def get_max_size(self) -> int:
        """Return the largest number of connections."""
        return self._size


class _Lease:
    """The context of `Pool.acquire`: a connection of the pool, which gets it back when the context ends."""

    def __init__(self, pool: Pool, timeout: float | None) -> None:
        self._pool, self._timeout = pool, timeout

    async def __aenter__(self) -> Connection:
        return await self._pool.take(self._timeout)

    async def __aexit__(self, *_: object) -> None:
        self._pool.give_back()


class Opener:
    """Opens pools in place of `runtime.database.postgres.open_pool`."""

    def __init__(self, database: Database, statements: Statements, rng: Random) -> None:
        self._parts = database, statements, rng

    @asynccontextmanager
    async def __call__(self, settings: Postgres, _: str) -> AsyncIterator[Pool]:
        yield Pool(*self._parts, current_process(), settings)

    def of(self, process: Process, settings: Postgres) -> Pool:
        """Return a pool of one process."""
        return Pool(*self._parts, process, settings)
