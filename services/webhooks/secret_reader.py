"""Reads the secrets of destinations in a thread, because a mounted file may hang."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from runtime.reading_thread import ReadingThread
from runtime.sites.file import SitesFileError
from runtime.sites.model import Sites
from runtime.sites.secrets import ResolvedDestination, resolve_destinations

READ_SECONDS: Final = 10.0


class SecretReader:
    """Reads the secrets of the sites file in a thread. Only one such thread runs at a time."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` are the environment variables from which the sites file takes its secrets."""
        self._variables = variables
        self._thread = ReadingThread[dict[str, ResolvedDestination]]("secrets")

    async def read(self, sites: Sites) -> dict[str, ResolvedDestination]:
        """Return the destinations with their secrets.

        Raises `SitesFileError` if a secret is unusable, or if the secrets are not read within `READ_SECONDS`.
        This time includes the wait for an earlier call to end.
        """
        try:
            return await self._thread.run(partial(resolve_destinations, sites, self._variables), READ_SECONDS)
        except TimeoutError:
            raise SitesFileError(
                f"the files of the destinations' secrets do not answer within {READ_SECONDS:g} s. If the"
                " sites file no longer names the file that hangs, restart webhooks"
            ) from None
