"""Applies a new value of a secret's file while the service runs. Environment variables need a restart."""

import asyncio
from typing import Final

from runtime.health import Health
from runtime.logs import logger
from runtime.sites.file import SitesFileError
from runtime.sites.watcher import CHECK_SECONDS, STABLE_SECONDS
from services.webhooks.destinations import Destinations

PART: Final = "secret_files"


class SecretWatcher:
    """Reads the files behind `file:` references every 5 s, and applies new values to the destinations.

    A value that is unusable only causes a warning: the previous value still applies.
    """

    def __init__(self, destinations: Destinations, health: Health) -> None:
        self._destinations = destinations
        self._health = health
        self._rejected = ""
        self._log = logger("secrets")

    async def run(self) -> None:
        """Check the files until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Apply the values of the files if one has changed."""
        sites, current = self._destinations.sites, self._destinations.by_name
        read = self._destinations.secrets.read
        try:
            found = await read(sites)
            if found != current:
                await asyncio.sleep(STABLE_SECONDS)
                if await read(sites) == found and self._destinations.sites is sites:
                    self._destinations.use(sites, found)
                    changed = [name for name, each in found.items() if each != current[name]]
                    self._log.info("secrets applied", destinations=changed)
        except SitesFileError as error:
            self._report(str(error))
        else:
            self._report("")

    def _report(self, problem: str) -> None:
        if problem and problem != self._rejected:
            self._log.warning("secrets not applied", reason=problem)
        self._rejected = problem
        warning = f"warning: {problem}. The value before still applies" if problem else ""
        self._health.set(PART, ok=True, reason=warning)
