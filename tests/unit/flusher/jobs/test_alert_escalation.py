"""Which failed notifications one event reports."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from contracts.lead_events import ALERT_LEADS_MAX
from services.flusher.jobs.alert_escalation import SETTLE, group_by_site

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rows(site: str, count: int, age: timedelta) -> list[dict[str, Any]]:
    return [{"lead_id": uuid4(), "site": site, "failed_at": NOW - age, "reason": None} for _ in range(count)]


def test_the_failures_of_a_site_are_one_group_once_the_oldest_has_waited() -> None:
    old, new = rows("shop", 3, SETTLE), rows("shop", 2, timedelta(0))
    assert group_by_site([*old, *new], NOW) == {"shop": [*old, *new]}
    assert group_by_site(new, NOW) == {}


def test_sites_are_apart_and_a_long_list_is_cut() -> None:
    many, other = rows("shop", ALERT_LEADS_MAX + 7, timedelta(hours=1)), rows("blog", 1, timedelta(hours=1))
    assert group_by_site([*many, *other], NOW) == {"shop": many[:ALERT_LEADS_MAX], "blog": other}
