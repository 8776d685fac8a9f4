"""Finds the identity (sender, admins, language and templates) for each site. No SQL, no SMTP.

The sites file can override the default.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

from runtime.sites.model import Site, Sites
from services.notifier.mail.mail_templates import BUILT_IN, MailTemplates
from services.notifier.mail.message import Identity
from services.notifier.mail.site_templates import Sources, compile_sources, read_sources


class Identities:
    """Finds the sender of mails, the recipients of alerts, and the templates by site.

    `base` is the folder of the sites file, where relative folders of templates begin. Raises
    `SitesFileError` if a template has a mistake.
    """

    def __init__(self, default: Identity, sites: Sites | None = None, base: Path | None = None) -> None:
        self.default = default
        self._base = base or Path()
        self.sources: Sources = {}
        self.apply(sites or Sites())

    def apply(self, sites: Sites) -> None:
        """Replace the identities of all sites, after the sites file or a template has changed.

        Raises `SitesFileError`, and changes nothing, if a template has a mistake.
        """
        sources = read_sources(sites, self._base)
        compiled = compile_sources(sites, sources, self.sources)
        self.sites, self.sources = sites, sources
        self._by_site = {
            name: _identity_of(self.default, site, compiled.get(name, BUILT_IN))
            for name, site in sites.by_name.items()
        }

    async def read_sources(self) -> Sources:
        """Read the templates of all sites, in a thread because a disk may hang. Raises `SitesFileError`."""
        return await asyncio.to_thread(read_sources, self.sites, self._base)

    def of(self, site: str) -> Identity:
        """Return the identity for mails about a lead of this site."""
        return self._by_site.get(site, self.default)

    @property
    def admins(self) -> frozenset[str]:
        """Return the recipients of all sites' alerts."""
        return self.default.all_admins.union(*(each.all_admins for each in self._by_site.values()))


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
        templates=templates,
    )
