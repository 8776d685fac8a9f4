"""What the public status of a site says: whether test leads get through, and nothing about how. No I/O."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from services.admin.rules.canary_hops import FAILING_AFTER
from services.admin.schemas.canary import CanaryStatus


class PublicStatus(BaseModel):
    """The status of one site.

    `state` is `unknown` if no test lead was sent in time. `tested_at` is when the newest one was sent.
    """

    site: str
    state: Literal["ok", "failing", "unknown"]
    tested_at: datetime | None
    signed_at: datetime


def public_status(site: str, canary: CanaryStatus, now: datetime) -> PublicStatus:
    """Return the status of a site. One test lead that fails is no failure: it may have met a restart."""
    routes = [each for each in canary.routes if each.site == site]
    tested_at = max((each.sent_at for each in routes), default=None)
    if not routes or canary.is_overdue:
        return PublicStatus(site=site, state="unknown", tested_at=tested_at, signed_at=now)
    failing = any(hop.failures >= FAILING_AFTER for route in routes for hop in route.hops)
    state: Literal["ok", "failing"] = "failing" if failing else "ok"
    return PublicStatus(site=site, state=state, tested_at=tested_at, signed_at=now)
