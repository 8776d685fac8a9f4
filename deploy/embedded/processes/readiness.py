"""Waiting until a program answers."""

import asyncio
from collections.abc import Awaitable, Callable

from deploy.embedded.errors import EmbeddedError

Alive = Callable[[], bool]
"""Returns True while the process that is waited for runs."""


def always_alive() -> bool:
    """Return True. The default for servers whose process the caller does not watch."""
    return True


async def wait_until(
    is_ready: Callable[[], Awaitable[bool]], what: str, timeout_seconds: float, alive: Alive
) -> None:
    """Poll `is_ready` until it returns True.

    Raises `EmbeddedError` if the process has ended (`alive` returns False) or the time is over. `what` is the
    name of the program in the error's message.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await is_ready():
                if not alive():
                    raise EmbeddedError(f"{what} ended before it answered")
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise EmbeddedError(f"{what} did not answer within {timeout_seconds:g} s") from None
