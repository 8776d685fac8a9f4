"""Shared code of the watchers that reload the sites file, its secrets and its templates."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NoReturn, TypeVar

from runtime.health import Health
from runtime.logs import logger
from runtime.reading_thread import ReadingThread
from runtime.sites.file import SitesFileError
from runtime.tasks import seconds_to_next

CHECK_SECONDS: Final = 5.0
# An editor or a program may write a file in several steps, so a new content counts if it is the same after
# this time.
STABLE_SECONDS: Final = 0.5
READ_SECONDS: Final = 10.0

T = TypeVar("T")


async def check_repeatedly(check: Callable[[], Awaitable[None]]) -> NoReturn:
    """Call `check` every 5 s until cancelled."""
    while True:
        await asyncio.sleep(seconds_to_next(CHECK_SECONDS))
        await check()


class FileReader(Generic[T]):
    """Calls functions that read files in a thread of its own, because a mounted file may hang."""

    def __init__(self, thread: str, hanging: str, advice: str = "") -> None:
        """`hanging` begins the error about files that hang, such as "the templates do not answer".

        `advice` is the last sentence of this error.
        """
        self._thread = ReadingThread[T](thread)
        self._hanging = hanging
        self._advice = advice and f". {advice}"

    async def read(self, function: Callable[[], T]) -> T:
        """Return the function's result.

        Raises `SitesFileError` if there is no result within `READ_SECONDS`. This time includes the wait until
        an earlier call has ended.
        """
        try:
            return await self._thread.run(function, READ_SECONDS)
        except TimeoutError:
            raise SitesFileError(f"{self._hanging} within {READ_SECONDS:g} s{self._advice}") from None

    async def read_stable(self, function: Callable[[], T], is_known: Callable[[T], bool]) -> T | None:
        """Return the function's result if it is known, or if a second call after 0.5 s returns the same.

        Otherwise somebody is still writing the files: returns None, and the next check reads them again.
        Raises the same errors as `read`.
        """
        found = await self.read(function)
        if is_known(found):
            return found
        await asyncio.sleep(STABLE_SECONDS)
        return found if await self.read(function) == found else None


class FileWarning:
    """Shows what is wrong with watched files in `/readyz`. The service stays ready.

    Logs each text once, until it changes.
    """

    def __init__(self, health: Health, part: str, log: str, message: str) -> None:
        """`message` is logged by the logger `log`, with the text as its reason."""
        self._health = health
        self._part = part
        self._log = logger(log)
        self._message = message
        self._text = ""

    def show(self, text: str) -> None:
        """Warn of this, in words that make a sentence. An empty text ends the warning."""
        if text and text != self._text:
            self._log.warning(self._message, reason=text)
        self._text = text
        self._health.set(self._part, ok=True, reason=f"warning: {text}" if text else "")
