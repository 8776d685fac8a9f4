"""Derives the dashboard's headline from all health signals. No I/O.

The worst disruption determines the colour of the headline.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from services.admin.dashboard.disruptions import components, destinations, emails, intake, processing
from services.admin.dashboard.disruptions.signals import Disruption, Signals
from services.admin.texts import gettext


@dataclass(frozen=True)
class Headline:
    """The title, its style (the CSS class `good`, `amber` or `bad`), and all disruptions, the worst first."""

    title: str
    style: str
    disruptions: list[Disruption]


NO_HEADLINE: Final = Headline("", "good", [])
"""The headline before the signals were first read."""

# A new signal belongs here, and needs a case in the test of its module.
SIGNALS: Final[Mapping[str, Callable[[Signals], Iterator[Disruption]]]] = {
    "emails": emails.refused_emails,
    "components": components.unavailable_components,
    "paused stages": components.paused_stages,
    "team notifications": emails.undelivered_notifications,
    "dead deliveries": processing.dead_deliveries,
    "old deliveries": processing.old_deliveries,
    "ledger": processing.ledger_errors,
    "consumer lag": processing.consumer_lag,
    "gateways": intake.gateway_problems,
    "website queues": intake.site_queue_problems,
    "service warnings": components.service_warnings,
    "spam": intake.risen_spam,
    "held leads": intake.held_leads,
    "destinations": destinations.destination_problems,
    "jobs": components.failed_jobs,
    "unknown signals": components.unknown_signals,
}


def make_headline(signals: Signals) -> Headline:
    """Return the headline. It is green only if no signal reports a disruption."""
    found = [each for find in SIGNALS.values() for each in find(signals)]
    found.sort(key=lambda each: each.severity != "bad")
    if not found:
        return Headline(gettext("All systems operational"), "good", [])
    style = found[0].severity
    title = gettext("Service disruption") if style == "bad" else gettext("Needs attention")
    return Headline(title, style, found)
