"""One service's share of a pool that several services of a process use."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.database.postgres import Connection, Pool
from runtime.failures import DependencyUnavailable


class PoolShare:
    """At most `limit` connections of a pool at once, so that no service takes those of another.

    The pool must have room for the limits of all its shares. A share counts a connection only while it is in
    use: the services reuse each other's idle connections.
    """

    def __init__(self, pool: Pool, limit: int) -> None:
        self._pool, self._limit, self._in_use = pool, limit, 0
        self._slots = asyncio.Semaphore(limit)

    @asynccontextmanager
    async def acquire(self, *, timeout: float | None = None) -> AsyncIterator[Connection]:  # noqa: ASYNC109
        """Yield a connection.

        Raises `DependencyUnavailable` if this share has none left within `timeout` seconds, and
        `TimeoutError` if the pool has none. Only the latter may mean that the server is gone.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise DependencyUnavailable("database", "all connections of this service are in use") from None
        if timeout is not None:
            timeout = max(0.0, timeout - (time.monotonic() - began))
        self._in_use += 1
        try:
            async with self._pool.acquire(timeout=timeout) as connection:
                yield connection
        finally:
            self._in_use -= 1
            self._slots.release()

    async def expire_connections(self) -> None:
        """Replace each connection of the whole pool at its next use: all are to the same server."""
        await self._pool.expire_connections()

    def get_size(self) -> int:
        """Return the number of connections that this share uses now."""
        return self._in_use

    def get_idle_size(self) -> int:
        """Return the number of idle connections that this share may use."""
        return min(self._pool.get_idle_size(), self._limit - self._in_use)

    def get_max_size(self) -> int:
        """Return the limit of this share."""
        return self._limit
