"""Running background work in a process, so that its failure ends the process instead of going unnoticed."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final

from runtime.logs import logger

# Longer than any background task needs to end: a consumer needs at most 10 s.
CANCEL_SECONDS: Final = 12.0


def end_process() -> None:
    """Send SIGTERM to this process, so that it drains as if its supervisor had stopped it."""
    os.kill(os.getpid(), signal.SIGTERM)


def seconds_to_next(interval: float) -> float:
    """Return the seconds until the event loop's clock is at a multiple of `interval` again.

    Loops that sleep so long poll at the same moment. The process then wakes up once for all of them, and what
    they read from the database can be read together.
    """
    left = interval - asyncio.get_running_loop().time() % interval
    # A timer may end a little early.
    return left if left > interval / 10 else left + interval


@contextlib.asynccontextmanager
async def run_in_background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run `work` in the background while the body runs, and cancel it at the end.

    If `work` raises an error, the process drains and ends, and its supervisor restarts it. Without
    this, a service whose loop has died would look alive. A `CancelledError` is an error too, unless this task
    was cancelled: something that `work` awaited was.
    """

    async def end_process_on_error() -> None:
        try:
            await work
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and task.cancelling():
                raise
            logger("exit").critical("background work failed, ending the process", work=name, exc_info=True)
            end_process()

    task = asyncio.create_task(end_process_on_error(), name=name)
    try:
        yield
    finally:
        while not task.done():
            # Cancel again if it has not ended: in Python 3.11, wait_for loses a cancel that arrives when its
            # work ends (cpython #86296). Remove the loop when Python 3.12 is the oldest supported version.
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)
