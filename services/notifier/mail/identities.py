"""Finds the identity (sender and admins) for each site. The sites file can override the default. No I/O."""

from dataclasses import replace

from runtime.sites.model import Site, Sites
from services.notifier.mail.message import Identity


class Identities:
    """Finds the sender of mails and the recipients of alerts by site."""

    def __init__(self, default: Identity, sites: Sites | None = None) -> None:
        self.default = default
        self.apply(sites or Sites())

    def apply(self, sites: Sites) -> None:
        """Replace the identities of all sites, after the sites file has changed."""
        self._by_site = {name: _identity_of(self.default, site) for name, site in sites.by_name.items()}

    def of(self, site: str) -> Identity:
        """Return the identity for mails about a lead of this site."""
        return self._by_site.get(site, self.default)

    @property
    def admins(self) -> frozenset[str]:
        """Return the recipients of all sites' alerts."""
        return self.default.all_admins.union(*(each.all_admins for each in self._by_site.values()))


def _identity_of(default: Identity, site: Site) -> Identity:
    sender = site.sender
    return replace(
        default,
        from_email=sender.address if sender else default.from_email,
        sender_name=(sender and sender.name) or site.name or default.sender_name,
        admins=site.alert_to or default.admins,
        alert_rules=site.alert_rules,
        reply_to=site.reply_to or "",
    )
