"""Applies a new value of a secret's file while the service runs. Environment variables need a restart."""

from typing import Final

from runtime.health import Health
from runtime.logs import logger
from runtime.sites.file import SitesFileError
from runtime.sites.watched_files import FileWarning, check_repeatedly
from services.webhooks.destinations import Destinations

PART: Final = "secret_files"


class SecretWatcher:
    """Reads the files behind `file:` references every 5 s, and applies new values to the destinations.

    A value that is unusable only causes a warning: the previous value still applies.
    """

    def __init__(self, destinations: Destinations, health: Health) -> None:
        self._destinations = destinations
        self._warning = FileWarning(health, PART, "secrets", "secrets not applied")
        self._log = logger("secrets")

    async def run(self) -> None:
        """Check the files until cancelled."""
        await check_repeatedly(self.check)

    async def check(self) -> None:
        """Apply the values of the files if one has changed."""
        sites, current = self._destinations.sites, self._destinations.by_name
        try:
            found = await self._destinations.secrets.read_stable(sites, current)
            # A new version of the sites file may have been applied meanwhile, with its secrets.
            if found is not None and found != current and self._destinations.sites is sites:
                self._destinations.use(sites, found)
                changed = [name for name, each in found.items() if each != current[name]]
                self._log.info("secrets applied", destinations=changed)
        except SitesFileError as error:
            self._warning.show(f"{error}. The value before still applies")
        else:
            self._warning.show("")
