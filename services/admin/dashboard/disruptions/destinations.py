"""Finds disruptions of destinations, which receive the events of leads. No I/O."""

from collections.abc import Iterator
from typing import Final

from services.admin.dashboard.disruptions.signals import Disruption, Signals
from services.admin.dashboard.labels import stage_name
from services.admin.rules.destinations import disabled_by
from services.admin.rules.reasons import explain
from services.admin.schemas.destinations import DestinationSummary
from services.admin.texts import gettext, ngettext

DESTINATIONS: Final = "/admin/ui/destinations"


def destination_url(name: str) -> str:
    """Return the URL of a destination on the page of destinations."""
    return f"{DESTINATIONS}#destination-{name}"


def destination_problems(signals: Signals) -> Iterator[Disruption]:
    """Yield each destination that is paused or disabled, or that has deliveries with no retries left."""
    for each in signals.destinations or []:
        component, url = stage_name("webhooks"), destination_url(each.name)
        if each.state in ("paused", "disabled"):
            is_refused = each.state == "disabled" and disabled_by(each.reason) is None
            reason = _destination_state(each)
            yield Disruption(
                component, reason, url, "bad" if is_refused else "amber", each.name, each.waiting
            )
        if each.dead and each.state != "removed":
            reason = ngettext(
                "%(destination)s: %(count)s delivery has no retries left",
                "%(destination)s: %(count)s deliveries have no retries left",
                each.dead,
                destination=each.name,
            )
            yield Disruption(component, reason, url, "amber", f"{each.name}, dead", each.dead)


def _destination_state(destination: DestinationSummary) -> str:
    name, reason = destination.name, destination.reason or ""
    if destination.state == "paused":
        return gettext(
            "%(destination)s is paused: %(reason)s", destination=name, reason=explain(reason) or reason
        )
    if actor := disabled_by(reason):
        return gettext("%(destination)s was disabled by %(actor)s", destination=name, actor=actor)
    return gettext(
        "%(destination)s is disabled: %(reason)s", destination=name, reason=explain(reason) or reason
    )
