"""Reads the secrets of destinations in a thread, because a mounted file may hang."""

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from typing import Final

from runtime.sites.file import SitesFileError
from runtime.sites.model import Sites
from runtime.sites.secrets import ResolvedDestination, resolve_destinations

READ_SECONDS: Final = 10.0

_Found = dict[str, ResolvedDestination]


class SecretReader:
    """Reads the secrets of the sites file in a thread. Only one such thread runs at a time.

    asyncio's own threads are not used, because they also resolve host names: a file that hangs would stop
    deliveries. A process that ends does not wait for the thread.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` are the environment variables from which the sites file takes its secrets."""
        self._variables = variables
        self._running: asyncio.Future[_Found] | None = None

    async def read(self, sites: Sites) -> _Found:
        """Return the destinations with their secrets.

        Raises `SitesFileError` if a secret is unusable, or if the secrets are not read within `READ_SECONDS`.
        This time includes the wait for an earlier call to end.
        """
        try:
            async with asyncio.timeout(READ_SECONDS):
                while self._running is not None:
                    await asyncio.wait({self._running})
                self._running = self._start(sites)
                return await asyncio.shield(self._running)
        except TimeoutError:
            raise SitesFileError(
                f"the files of the destinations' secrets do not answer within {READ_SECONDS:g} s"
            ) from None

    def _start(self, sites: Sites) -> asyncio.Future[_Found]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Found] = loop.create_future()

        def finish(found: _Found | None, error: Exception | None) -> None:
            self._running = None
            if found is not None:
                future.set_result(found)
            elif error is not None:
                future.set_exception(error)
                future.exception()  # Nobody may wait for it any more.

        def run() -> None:
            found, failure = None, None
            try:
                found = resolve_destinations(sites, self._variables)
            except Exception as error:  # noqa: BLE001 - whatever it was, `read` raises it
                failure = error
            with contextlib.suppress(RuntimeError):  # The process is ending: its loop is closed.
                loop.call_soon_threadsafe(finish, found, failure)

        threading.Thread(target=run, name="secrets", daemon=True).start()
        return future
