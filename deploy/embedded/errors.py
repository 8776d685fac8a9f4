"""How one program of the stack is started and stopped, in words that a supervisor and a test share."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Every process of a stack carries its data folder under this name, so that what a crash leaves
#: behind can be told from a stranger's process before it is stopped.
OWNER_VARIABLE = "FASTCORE_EMBEDDED_OWNER"

Progress = Callable[[str], None]
"""Takes one line about what is being done now."""

Alive = Callable[[], bool]
"""Says whether the process that is waited for still runs."""


class EmbeddedError(Exception):
    """Something a person has to mend: the message says what was wrong and what to do next."""


@dataclass(frozen=True)
class Launch:
    """One program: what to run, as whom, and how to end it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    folder: Path | None = None
    """Where it starts, for a user who may not enter the checkout; the checkout by default."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: int = 15


def silent(line: str) -> None:
    """Show nothing: the progress of tests and libraries."""


def always_alive() -> bool:
    """Stand in where nobody watches the process."""
    return True


async def wait_until(
    answers: Callable[[], Awaitable[bool]], what: str, timeout_seconds: float, alive: Alive
) -> None:
    """Wait for a program to answer, but no longer than it lives or than the time given."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await answers():
                if not alive():
                    raise EmbeddedError(f"{what} ended before it answered")
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise EmbeddedError(f"{what} did not answer within {timeout_seconds:g} s") from None
