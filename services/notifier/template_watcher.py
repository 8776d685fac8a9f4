"""Applies new versions of the sites' templates while the notifier runs."""

from typing import Final

from runtime.health import Health
from runtime.logs import logger
from runtime.sites.file import SitesFileError
from runtime.sites.watched_files import FileWarning, check_repeatedly
from services.notifier.mail.identities import Identities

PART: Final = "templates"


class TemplateWatcher:
    """Reads the templates of all sites every 5 s, and applies a valid new version.

    A mistake only causes a warning: the site's version before still applies, or the built-in templates.
    """

    def __init__(self, identities: Identities, health: Health) -> None:
        self._identities = identities
        self._warning = FileWarning(health, PART, "templates", "templates not applied")
        self._log = logger("templates")
        self._show(*identities.warnings())

    async def run(self) -> None:
        """Check the templates until cancelled."""
        await check_repeatedly(self.check)

    async def check(self) -> None:
        """Apply the templates that have changed."""
        try:
            if await self._identities.refresh():
                self._log.info("templates applied")
        except SitesFileError as error:
            self._show(f"{error}. The version before still applies", *self._identities.warnings())
        else:
            self._show(*self._identities.warnings())

    def _show(self, *warnings: str) -> None:
        self._warning.show(". ".join(warnings))
