"""Applies new versions of the sites' templates while the notifier runs."""

import asyncio
from typing import Final

from runtime.health import Health
from runtime.logs import logger
from runtime.sites.file import SitesFileError
from services.notifier.mail.identities import Identities

CHECK_SECONDS: Final = 5.0
# An editor may write a file in several steps, so a new content counts if it is the same after this time.
STABLE_SECONDS: Final = 0.5
PART: Final = "templates"


class TemplateWatcher:
    """Reads the templates of all sites every 5 s, and applies a valid new version.

    An invalid version only causes a warning: the previous version still applies.
    """

    def __init__(self, identities: Identities, health: Health) -> None:
        self._identities = identities
        self._health = health
        self._rejected = ""
        self._log = logger("templates")

    async def run(self) -> None:
        """Check the templates until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Apply the templates if one has changed."""
        try:
            sites = self._identities.sites
            found = await self._identities.read_sources()
            if found != self._identities.sources:
                await asyncio.sleep(STABLE_SECONDS)
                is_stable = await self._identities.read_sources() == found
                if is_stable and self._identities.sites is sites:
                    self._identities.apply(sites)
                    self._log.info("templates applied")
        except SitesFileError as error:
            self._report(str(error))
        else:
            self._report("")

    def _report(self, problem: str) -> None:
        if problem and problem != self._rejected:
            self._log.warning("templates not applied", reason=problem)
        self._rejected = problem
        warning = f"warning: {problem}. The version before still applies" if problem else ""
        self._health.set(PART, ok=True, reason=warning)
