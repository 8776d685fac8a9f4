"""Caches results for some seconds, so that ten open pages cause no more queries than one page."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request

T = TypeVar("T")
# A slow load is repeated less often: it may keep its server busy for this share of the time.
MAX_LOAD_SHARE: Final = 0.05
# A load that was slow because a server hung must not be shown for much longer than that.
MAX_AGE_SECONDS: Final = 10.0
_MAX_KEYS: Final = 100  # each time zone of a viewer has its own charts


class Cache:
    """Caches results by key. Concurrent callers with the same key wait for one load."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, Any]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get_or_load(self, key: str, load: Callable[[], Awaitable[T]], max_age_seconds: float) -> T:
        """Return the cached result of a key. If it is missing or too old, call `load` for a new one.

        A result may be up to `max_age_seconds` old. A result that was slow to load may be older, up to
        `MAX_AGE_SECONDS`. An exception of `load` is raised and not cached.
        """
        if len(self._locks) > _MAX_KEYS:
            self._entries, self._locks = {}, {}
        async with self._locks.setdefault(key, asyncio.Lock()):
            started = time.monotonic()
            expires_at, value = self._entries.get(key, (0.0, None))
            if started >= expires_at:
                value = await load()
                now = time.monotonic()
                slow_load_seconds = min(MAX_AGE_SECONDS, (now - started) / MAX_LOAD_SHARE)
                self._entries[key] = (now + max(max_age_seconds, slow_load_seconds), value)
            result: T = value
            return result

    def invalidate(self, key: str) -> None:
        """Remove the cached result of a key, so that the next caller loads a new one."""
        self._entries.pop(key, None)


def get_cache(request: Request) -> Cache:
    """Return the cache of this app."""
    cache: Cache = request.app.state.cache
    return cache


CurrentCache = Annotated[Cache, Depends(get_cache)]
