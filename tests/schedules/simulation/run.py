"""Runs a coroutine on a virtual loop: the clock and all randomness of the interpreter are the schedule's."""

import asyncio
import functools
import gc
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Final, TypeVar

from aiohttp import connector as aiohttp_connector
from fastapi.dependencies import models as fastapi_models

from tests.schedules.simulation import event_loop
from tests.schedules.simulation.event_loop import VirtualLoop
from tests.schedules.simulation.network import Network

Result = TypeVar("Result")
# 2026-11-30 00:00 UTC, where the virtual clock is 0.
_EPOCH: Final = 1_796_000_000.0


class _SeededRandom(Random):
    """A generator whose seed, without one, is the schedule's."""

    def __init__(self, seed: float | None = None) -> None:
        super().__init__(random.random() if seed is None else seed)


@contextmanager
def _virtual_world(loop: VirtualLoop, rng: Random) -> Iterator[None]:
    """Take clock, random values and random bytes from the schedule while the body runs.

    The garbage collector waits: what it finalizes would get a turn of the loop at a moment of its own choice.
    """
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # the imported modules: looking at them before each schedule takes a tenth of a second
    gc.disable()
    real = time.monotonic, time.time, os.urandom, random.getstate()
    time.monotonic, time.time = loop.time, lambda: _EPOCH + loop.time()
    aiohttp_connector.monotonic = loop.time  # type: ignore[attr-defined]
    os.urandom, random.Random = rng.randbytes, _SeededRandom  # type: ignore[assignment,misc]
    random.seed(rng.random())
    try:
        yield
    finally:
        time.monotonic, time.time, os.urandom = real[:3]
        random.Random = Random  # type: ignore[misc]
        aiohttp_connector.monotonic = time.monotonic  # type: ignore[attr-defined]
        random.setstate(real[3])
        gc.enable()


def run_virtual(seed: int, main: Callable[[VirtualLoop, Network], Awaitable[Result]]) -> Result:
    """Run `main` with a loop and a network of its own, and return its result."""
    event_loop.restart_numbers()
    loop = VirtualLoop(Random(seed))
    network = Network(loop)

    async def start() -> Result:
        return await main(loop, network)

    with _virtual_world(loop, Random(seed + 1)):
        asyncio.set_event_loop(loop)
        try:
            result = loop.run_until_complete(start())
            if loop.errors:
                raise loop.errors[0]
            return result
        finally:
            network.open.clear()
            loop.bury()
            asyncio.set_event_loop(None)
            loop.close()
            _forget_apps()


def _forget_apps() -> None:
    """Empty FastAPI's caches of functions. They hold the last thousands of apps with all that these have."""
    for each in vars(fastapi_models).values():
        if isinstance(each, functools._lru_cache_wrapper):
            each.cache_clear()
