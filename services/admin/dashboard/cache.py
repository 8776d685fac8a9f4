"""Answers kept for a moment, so that ten open overviews cost the database no more than one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request

T = TypeVar("T")
# A question that takes long is asked less often: it may cost its answerer this share of its time.
SHARE: Final = 0.05
# But an answer that took long because something hung must not be shown much longer than that lasts.
MAX_SECONDS: Final = 10.0
_MAX_KEYS: Final = 100  # each zone of a viewer has its own charts


class Recent:
    """Remembers the last answer to each question; those who ask meanwhile wait for the same one."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, Any]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def ask(self, key: str, question: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Return an answer no older than this, or than its cost allows. Failures are not kept."""
        if len(self._locks) > _MAX_KEYS:
            self._answers, self._locks = {}, {}
        async with self._locks.setdefault(key, asyncio.Lock()):
            started = time.monotonic()
            until, answer = self._answers.get(key, (0.0, None))
            if started >= until:
                answer = await question()
                now = time.monotonic()
                self._answers[key] = (now + max(seconds, min(MAX_SECONDS, (now - started) / SHARE)), answer)
            found: T = answer
            return found

    def forget(self, key: str) -> None:
        """Have the next caller ask anew: what the answer shows was changed."""
        self._answers.pop(key, None)


def recent(request: Request) -> Recent:
    """Return the memory of this app."""
    found: Recent = request.app.state.recent
    return found


Kept = Annotated[Recent, Depends(recent)]
