"""How many welcomes a mailbox and a site may bring about, or bots would use us to mail strangers. Pure."""

import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from contracts.leads import LeadReceived
from services.notifier.mail.address import parse_address

TOO_MANY_TO_MAILBOX: Final = "too many welcomes to this address"
TOO_MANY_OF_SITE: Final = "too many welcomes of this site"
# Gmail ignores dots before the @, and its two domains are one.
_GMAIL: Final = frozenset({"gmail.com", "googlemail.com"})

SiteHour = tuple[str, datetime]


def mailbox_key(email: str) -> str:
    """Return the mailbox that an address reaches, for counting: no case, no +tag, the domain in ASCII."""
    local, _, domain = unicodedata.normalize("NFKC", email).strip().casefold().rpartition("@")
    if address := parse_address(f"a@{domain}"):
        domain = address.domain.lower()
    local = local.partition("+")[0] or local
    if domain in _GMAIL:
        local, domain = local.replace(".", "") or local, "gmail.com"
    return f"{local}@{domain}"


def site_hour(lead: LeadReceived) -> SiteHour:
    """Return a lead's site and the hour in which it came: a backlog counts where it belongs."""
    return lead.site, lead.occurred_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


@dataclass
class WelcomeCounts:
    """The welcomes that count against a batch's leads, and the two limits."""

    per_mailbox: int
    per_site_hour: int
    mailboxes: dict[str, set[UUID]] = field(default_factory=dict)  # leads of the last day
    sites: dict[SiteHour, int] = field(default_factory=dict)

    def of_mailbox(self, lead: LeadReceived) -> set[UUID]:
        """Return the leads whose welcome went to the mailbox of this one."""
        return self.mailboxes.get(mailbox_key(lead.email), set())

    def site_is_full(self, lead: LeadReceived) -> bool:
        """Return True where the site has had its welcomes of that hour."""
        return self.sites.get(site_hour(lead), 0) >= self.per_site_hour

    def admit(self, lead: LeadReceived) -> None:
        """Count a welcome that is about to go."""
        self.mailboxes.setdefault(mailbox_key(lead.email), set()).add(lead.lead_id)
        place = site_hour(lead)
        self.sites[place] = self.sites.get(place, 0) + 1
