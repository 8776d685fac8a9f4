"""The cache: concurrent callers share one load, and failures are not cached."""

import asyncio

import pytest

from services.admin.dashboard.cache import Cache


async def test_concurrent_callers_share_one_load() -> None:
    loads, cache = 0, Cache()

    async def load() -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        return loads

    assert await asyncio.gather(*(cache.get_or_load("a", load, 60) for _ in range(10))) == [1] * 10
    assert await cache.get_or_load("b", load, 60) == 2


async def test_an_invalidated_key_is_loaded_again() -> None:
    cache, values = Cache(), iter((1, 2))

    async def load() -> int:
        return next(values)

    assert await cache.get_or_load("a", load, 60) == 1
    cache.invalidate("a")
    assert await cache.get_or_load("a", load, 60) == 2


async def test_a_failed_load_is_not_cached() -> None:
    cache = Cache()

    async def fail() -> int:
        raise LookupError

    async def succeed() -> int:
        return 1

    with pytest.raises(LookupError):
        await cache.get_or_load("a", fail, 60)
    assert await cache.get_or_load("a", succeed, 60) == 1
