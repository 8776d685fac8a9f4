"""What the public status of a site says: whether test leads get through, and nothing about how. No I/O."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from services.admin.rules.canary_hops import FAILING_AFTER
from services.admin.schemas.canary import CanaryStatus


class PublicStatus(BaseModel):
    """The status of one site.

    `state` is `unknown` if no test lead was sent in time, if the first one is under way, or if the database
    does not answer. `tested_at` is when the newest one was sent.
    """

    site: str
    state: Literal["ok", "failing", "unknown"]
    tested_at: datetime | None
    signed_at: datetime


def public_status(site: str, canary: CanaryStatus | None, now: datetime) -> PublicStatus:
    """Return the status of a site. `canary` is None if the database does not answer.

    One test lead that fails is no failure: it may have met a restart.
    """
    routes = [each for each in canary.routes if each.site == site] if canary else []
    tested_at = max((each.sent_at for each in routes), default=None)
    state: Literal["ok", "failing", "unknown"] = "ok"
    if canary is None or canary.is_overdue or not routes:
        state = "unknown"
    elif any(hop.failures >= FAILING_AFTER for route in routes for hop in route.hops):
        state = "failing"
    elif any(route.state == "waiting" for route in routes):  # no test lead of this route is through yet
        state = "unknown"
    return PublicStatus(site=site, state=state, tested_at=tested_at, signed_at=now)
