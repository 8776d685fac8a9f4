"""Finds the identity (sender, admins, language and templates) for each site. No SQL, no SMTP.

The sites file can override the default.
"""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from runtime.sites.file import SitesFileError
from runtime.sites.model import Site, Sites
from runtime.sites.watched_files import FileReader
from services.notifier.mail.mail_templates import BUILT_IN, MailTemplates
from services.notifier.mail.message import Identity
from services.notifier.mail.site_templates import Folders, Loaded, load_templates, read_folders, warnings


class Identities:
    """Finds the sender of mails, the recipients of alerts, and the templates by site.

    `base` is the folder of the sites file, where relative folders of templates begin. A site whose folder has
    a mistake gets the built-in templates. The constructor reads the folders, and blocks if one hangs: call it
    before the process serves anything.
    """

    def __init__(self, default: Identity, sites: Sites | None = None, base: Path | None = None) -> None:
        sites, self._base = sites or Sites(), base or Path()
        self.default = default
        # Reading, compiling and rendering the templates of a site with examples takes a fraction of a second.
        self._reader = FileReader[Any]("templates", "the folders of templates do not answer")
        self._lock = asyncio.Lock()
        self._use(sites, load_templates(sites, read_folders(sites, self._base), {}))

    async def apply(self, sites: Sites) -> None:
        """Use a new version of the sites file, with the templates of its sites.

        If the folders of templates do not answer, or are just being written, raises `SitesFileError` and
        changes nothing.
        """
        async with self._lock:
            folders = await self._read_stable(sites)
            if folders is None:
                raise SitesFileError("the folders of templates are just being written")
            await self._load(sites, folders)

    async def refresh(self) -> bool:
        """Use the templates that have changed, and return True if there are any.

        Templates that are just being written wait for the next call. Raises `SitesFileError` if the folders
        do not answer.
        """
        async with self._lock:
            before = self.loaded
            folders = await self._read_stable(self.sites)
            if folders is None or folders == _folders_of(before):
                return False
            await self._load(self.sites, folders)
            return any(
                name not in before or each.templates is not before[name].templates
                for name, each in self.loaded.items()
            )

    async def _read_stable(self, sites: Sites) -> Folders | None:
        """Return the folders, or None if they change between two readings."""
        if not any(site.templates for site in sites.by_name.values()):
            return {}
        reading = partial(read_folders, sites, self._base)
        folders: Folders | None = await self._reader.read_stable(
            reading, lambda found: found == _folders_of(self.loaded)
        )
        return folders

    async def _load(self, sites: Sites, folders: Folders) -> None:
        loading = partial(load_templates, sites, folders, self.loaded)
        self._use(sites, await self._reader.read(loading) if folders else {})

    def _use(self, sites: Sites, loaded: Loaded) -> None:
        self.sites, self.loaded = sites, loaded
        self._by_site = {
            name: _identity_of(self.default, site, loaded[name].templates if name in loaded else BUILT_IN)
            for name, site in sites.by_name.items()
        }

    def warnings(self, *sites: str) -> list[str]:
        """Return what is wrong with the templates of these sites, or of all sites if none is given."""
        chosen = [name for name in self.loaded if not sites or name in sites]
        return [each for name in chosen for each in warnings(name, self.loaded[name])]

    def lacks_templates(self, site: str) -> bool:
        """Return True if the site's templates have a mistake, and the built-in ones apply in their place."""
        loaded = self.loaded.get(site)
        return loaded is not None and bool(loaded.problems) and loaded.templates is BUILT_IN

    def of(self, site: str) -> Identity:
        """Return the identity for mails about a lead of this site."""
        return self._by_site.get(site, self.default)

    @property
    def admins(self) -> frozenset[str]:
        """Return the recipients of all sites' alerts."""
        return self.default.all_admins.union(*(each.all_admins for each in self._by_site.values()))


def _folders_of(loaded: Loaded) -> Folders:
    return {name: each.folder for name, each in loaded.items()}


def _identity_of(default: Identity, site: Site, templates: MailTemplates) -> Identity:
    sender = site.sender
    return replace(
        default,
        from_email=sender.address if sender else default.from_email,
        sender_name=(sender and sender.name) or site.name or default.sender_name,
        admins=site.alert_to or default.admins,
        alert_rules=site.alert_rules,
        reply_to=site.reply_to or "",
        locale=site.locale or "",
        alert_locale=site.alert_locale or "",
        site_name=site.name or "",
        reply=site.reply,
        alert_schedule=default.alert_schedule.with_site(site),
        templates=templates,
    )
