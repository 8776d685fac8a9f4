"""Wait for a condition with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.support.patience import patient

T = TypeVar("T")


async def eventually(
    probe: Callable[[], Awaitable[T]],
    *,
    until: Callable[[T], object] = bool,
    seconds: float = 20,
    every: float = 0.05,
    what: str = "the condition",
) -> T:
    """Call `probe` until `until` holds for its result, and return the result; fail with the last one.

    The pause between two calls is `every` seconds at first and grows with the time waited, to half a second:
    the probes of a long wait would take the processor from what it waits for. `tests.support.patience` makes
    every wait longer.
    """
    seconds = patient(seconds)
    began = time.monotonic()
    while True:
        answer = await probe()
        if until(answer):
            return answer
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"{what} did not come within {seconds:g} s; last seen: {answer!r}")
        await asyncio.sleep(max(every, min(0.5, waited / 10)))
