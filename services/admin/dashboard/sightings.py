"""Decides which disruptions become incidents. Gives each disruption a key that is the same in each poll.

No I/O.
"""

from typing import Final

from services.admin.dashboard.disruptions.headline import SIGNALS
from services.admin.dashboard.disruptions.signals import Signals
from services.admin.schemas.incidents import Sighting

# These signals ask people for a decision about leads. They are no failures.
NO_INCIDENTS: Final = frozenset({"held leads"})
STATUS_PAGE: Final = "/admin/status"


def find_sightings(signals: Signals) -> list[Sighting]:
    """Return the failures that become incidents if they last.

    The key of a failure contains no number, because numbers change from poll to poll.
    """
    return [
        Sighting(
            key=f"{name}: {each.component}: {each.subject}",
            component=each.component,
            reason=each.reason,
            severity=each.severity,
            url=STATUS_PAGE + each.url if each.url.startswith("#") else each.url,
            affected_leads=each.leads,
        )
        for name, find in SIGNALS.items()
        if name not in NO_INCIDENTS
        for each in find(signals)
    ]
