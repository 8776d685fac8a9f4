"""Applies new versions of the sites' templates while the notifier runs."""

import asyncio
from typing import Final

from runtime.health import Health
from runtime.logs import logger
from runtime.sites.file import SitesFileError
from runtime.sites.watcher import CHECK_SECONDS
from services.notifier.mail.identities import Identities

PART: Final = "templates"


class TemplateWatcher:
    """Reads the templates of all sites every 5 s, and applies a valid new version.

    A mistake only causes a warning: the site's version before still applies, or the built-in templates.
    """

    def __init__(self, identities: Identities, health: Health) -> None:
        self._identities = identities
        self._health = health
        self._reported = ""
        self._log = logger("templates")
        self._report(*identities.warnings())

    async def run(self) -> None:
        """Check the templates until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Apply the templates that have changed."""
        try:
            if await self._identities.refresh():
                self._log.info("templates applied")
        except SitesFileError as error:
            self._report(f"{error}. The version before still applies", *self._identities.warnings())
        else:
            self._report(*self._identities.warnings())

    def _report(self, *warnings: str) -> None:
        text = ". ".join(warnings)
        if text and text != self._reported:
            self._log.warning("templates not applied", reason=text)
        self._reported = text
        self._health.set(PART, ok=True, reason=f"warning: {text}" if text else "")
