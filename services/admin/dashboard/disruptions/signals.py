"""Disruptions, the health signals that show them, and texts that several disruptions use. No I/O."""

from dataclasses import dataclass, field
from typing import Literal

from runtime.sites.model import Sites
from services.admin.dashboard.formatting import duration
from services.admin.rules.mail_rates import MailRates
from services.admin.rules.spam_shares import SpamShare
from services.admin.schemas.destinations import DestinationSummary
from services.admin.schemas.held_leads import HeldSite
from services.admin.schemas.system import Job, QueueStats, SystemHealth
from services.admin.store.deliveries.recent_outcomes import RecentOutcomes
from services.admin.texts import gettext

Severity = Literal["bad", "amber"]


@dataclass(frozen=True)
class Disruption:
    """A disrupted component and the reason for the disruption.

    `component` is the name that the page shows. `url` is the page, or the part of the status page, where an
    admin can act. It is empty if there is no such page. `subject` distinguishes disruptions of the same
    component. For example, `subject` is a site, a gateway or a dependency. `leads` is the number of affected
    leads or emails, or None if it is unknown.
    """

    component: str
    reason: str
    url: str = ""
    severity: Severity = "bad"
    subject: str = ""
    leads: int | None = None


@dataclass(frozen=True)
class Signals:
    """All health signals that the headline depends on.

    `spam` lists the sites whose share of spam has risen, and `held` lists the sites with held leads.
    `emails` has the emails of the last hour. `recent`, `jobs`, `spam`, `held`, `destinations` and `emails`
    are None if they could not be read.
    """

    health: SystemHealth
    stats: QueueStats
    recent: RecentOutcomes | None
    jobs: list[Job] | None
    spam: list[SpamShare] | None
    held: list[HeldSite] | None
    sites: Sites = field(default_factory=Sites)
    destinations: list[DestinationSummary] | None = field(default_factory=list)
    emails: MailRates | None = field(default_factory=MailRates)


def reason_of(subject: str, reason: str | None) -> str:
    """Return a reason with its subject, such as `sites file: line 3`."""
    return gettext("%(subject)s: %(reason)s", subject=subject, reason=reason)


def minutes(seconds: float) -> str:
    """Return a duration in whole minutes."""
    return duration(seconds // 60 * 60)


def hours(seconds: float) -> str:
    """Return a duration in whole hours."""
    return duration(seconds // 3600 * 3600)
