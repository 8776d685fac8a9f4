"""Reads the secrets of destinations in a thread, because a mounted file may hang."""

from collections.abc import Mapping
from functools import partial

from runtime.sites.model import Sites
from runtime.sites.secrets import ResolvedDestination, resolve_destinations
from runtime.sites.watched_files import FileReader

Resolved = dict[str, ResolvedDestination]


class SecretReader:
    """Reads the secrets of the sites file in a thread. Only one such thread runs at a time.

    Its methods raise `SitesFileError` if a secret is unusable, or if the files do not answer.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` are the environment variables from which the sites file takes its secrets."""
        self._variables = variables
        self._reader = FileReader[Resolved](
            "secrets",
            "the files of the destinations' secrets do not answer",
            "If the sites file no longer names the file that hangs, restart webhooks",
        )

    async def read(self, sites: Sites) -> Resolved:
        """Return the destinations with their secrets."""
        return await self._reader.read(partial(resolve_destinations, sites, self._variables))

    async def read_stable(self, sites: Sites, current: Mapping[str, ResolvedDestination]) -> Resolved | None:
        """Return the destinations with their secrets, or None if somebody is still writing a secret's file.

        Secrets that are equal to those in `current` are read once.
        """
        return await self._reader.read_stable(
            partial(resolve_destinations, sites, self._variables), lambda found: found == current
        )
