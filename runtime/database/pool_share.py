"""One service's share of a pool that several services of a process use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.database.postgres import Connection, Pool


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
        """Yield a connection. Raises `TimeoutError` if none is free within `timeout` seconds."""
        async with asyncio.timeout(timeout):
            await self._slots.acquire()
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
