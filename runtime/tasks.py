"""Background work of a process: one way to run it, so that none dies unseen."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final

from runtime.logs import logger

# Longer than any end of ours: a consumer's takes 10 s at most.
CANCEL_SECONDS: Final = 12.0


def end_process() -> None:
    """Take the ordinary way out, as if a supervisor had asked."""
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.asynccontextmanager
async def run_in_background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run `work` beside the body and cancel it at the end.

    Work that raises ends the process: a service whose loop died must not look alive. SIGTERM to
    ourselves takes the ordinary drain; the supervisor starts us again.
    """

    async def guarded() -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - whatever it was, it is logged and ends the process
            logger("exit").critical("background work failed, ending the process", work=name, exc_info=True)
            end_process()

    task = asyncio.create_task(guarded(), name=name)
    try:
        yield
    finally:
        while not task.done():
            # Again after what an orderly end may take: wait_for loses a cancel that comes in the moment in
            # which its work ends (Python 3.11, cpython #86296), and then nothing would ever end this.
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)
