"""Limits on welcomes per mailbox and per site, so that bots cannot make us mail strangers. No I/O."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from contracts.leads import LeadReceived
from contracts.reasons import Reason
from runtime.database.suppressed_addresses import Suppressions
from runtime.mailbox import mailbox_key

_LISTED: Final = {
    "bounced": Reason.ADDRESS_BOUNCED,
    "complained": Reason.ADDRESS_COMPLAINED,
    "manual": Reason.ADDRESS_SUPPRESSED,
}

SiteHour = tuple[str, datetime]


def site_hour(lead: LeadReceived) -> SiteHour:
    """Return a lead's site and the hour in which the lead arrived.

    The limit of a site applies to this hour, even if leads are processed later.
    """
    return lead.site, lead.occurred_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


@dataclass
class WelcomeCounts:
    """The numbers of recent welcomes, and their limits: per mailbox in 24 hours, and per site in an hour.

    `suppressed` has the entries of the suppression list for the mailboxes of the batch.
    """

    per_mailbox: int
    per_site_hour: int
    mailboxes: dict[str, set[UUID]] = field(default_factory=dict)  # leads of the last 24 hours
    sites: dict[SiteHour, int] = field(default_factory=dict)
    suppressed: dict[str, Suppressions] = field(default_factory=dict)

    def of_mailbox(self, lead: LeadReceived) -> set[UUID]:
        """Return the ids of the leads whose welcomes recently went to this lead's mailbox."""
        return self.mailboxes.get(mailbox_key(lead.email), set()) if lead.email else set()

    def listed(self, lead: LeadReceived) -> Reason | None:
        """Return why the lead's address is on the suppression list of its site, or None."""
        entries = self.suppressed.get(mailbox_key(lead.email), {}) if lead.email else {}
        reason = entries.get(None) or entries.get(lead.site)
        return _LISTED[reason] if reason else None

    def site_limit_reached(self, lead: LeadReceived) -> bool:
        """Return True if the lead's site has reached its limit for the lead's hour."""
        return self.sites.get(site_hour(lead), 0) >= self.per_site_hour

    def admit(self, lead: LeadReceived) -> None:
        """Count the welcome to this lead towards the limits of its mailbox and its site."""
        if lead.email:
            self.mailboxes.setdefault(mailbox_key(lead.email), set()).add(lead.lead_id)
        key = site_hour(lead)
        self.sites[key] = self.sites.get(key, 0) + 1
