"""A service's share of a pool: its own limit, and the idle connections of all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from runtime.database.pool_share import PoolShare
from runtime.database.postgres import has_free_connection
from runtime.failures import DependencyUnavailable


class FakePool:
    """A pool with any number of connections. Counts those in use."""

    def __init__(self) -> None:
        self.in_use, self.expired = 0, 0

    @asynccontextmanager
    async def acquire(self, *, timeout: float | None = None) -> AsyncIterator[Any]:  # noqa: ASYNC109
        self.in_use += 1
        try:
            yield object()
        finally:
            self.in_use -= 1

    async def expire_connections(self) -> None:
        self.expired += 1

    def get_size(self) -> int:
        return 5

    def get_idle_size(self) -> int:
        return 5 - self.in_use

    def get_max_size(self) -> int:
        return 200


async def test_a_share_that_is_used_up_leaves_the_others_alone() -> None:
    pool = FakePool()
    greedy, other = PoolShare(pool, 2), PoolShare(pool, 2)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(greedy.acquire(timeout=1))
        assert not has_free_connection(greedy)
        # Not a timeout, after which all connections of the process would be renewed.
        with pytest.raises(DependencyUnavailable):
            await stack.enter_async_context(greedy.acquire(timeout=0.01))
        await stack.enter_async_context(other.acquire(timeout=1))
        assert has_free_connection(other)
        assert (greedy.get_size(), other.get_size(), pool.in_use) == (2, 1, 3)
    assert (greedy.get_size(), greedy.get_idle_size(), greedy.get_max_size(), pool.in_use) == (0, 2, 2, 0)


async def test_a_connection_that_is_returned_serves_the_next() -> None:
    pool = FakePool()
    share = PoolShare(pool, 1)

    async def work() -> None:
        async with share.acquire(timeout=5):
            assert pool.in_use == 1
            await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(5)))
    assert pool.in_use == 0


async def test_a_lost_server_expires_the_whole_pool() -> None:
    pool = FakePool()
    await PoolShare(pool, 1).expire_connections()
    assert pool.expired == 1
