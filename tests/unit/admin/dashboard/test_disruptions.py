"""What the overview's headline says: operational only while everything is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.admin.dashboard.disruptions import find_disruptions
from services.admin.monitoring.ledger import Books, Counts, balance
from services.admin.schemas.system import (
    GatewaySpool,
    GroupLag,
    PartHealth,
    QueueStats,
    SiteQueue,
    StageQueue,
    SystemHealth,
)
from services.admin.store.recent_outcomes import Mails, RecentOutcomes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UP, DOWN = PartHealth(state="up"), PartHealth(state="down", reason="no answer (ConnectError)")
BALANCED = balance(Counts(pages=(), leads=0, queue={}, queue_by_others=0, emails={}))


def health(**parts: Any) -> SystemHealth:
    services = dict.fromkeys(("ingest", "persister", "notifier", "flusher"), UP) | parts.pop("services", {})
    given: dict[str, Any] = {"database": UP, "broker": UP, "mail": UP} | parts
    return SystemHealth(status="up", at=NOW, services=services, **given)


def stage(name: str = "notifier", **changes: Any) -> StageQueue:
    counts = dict.fromkeys(("waiting", "replaying", "due", "dead", "resolved", "archived"), 0)
    opened: dict[str, Any] = {"oldest_open_at": None, "oldest_open_age_seconds": None}
    values: dict[str, Any] = {**counts, **opened, "paused": False, "pause_reason": None, **changes}
    return StageQueue(stage=name, **values)


def stats(**changes: Any) -> QueueStats:
    values: dict[str, Any] = {
        "at": NOW, "stages": [stage()], "books": BALANCED, "read_at": NOW, "failed_not_taken": 0,
        "groups": [GroupLag(group="fastcore.notifier", lag=3, topics={})],
        "gateways": [GatewaySpool(url="http://g", address="10.0.0.1", state="up", status={})],
        "site_queues": [],
    }  # fmt: skip
    return QueueStats(**(values | changes))


def said(given: SystemHealth, seen: QueueStats, recent: RecentOutcomes | None) -> list[str]:
    return [f"{each.part}: {each.reason}" for each in find_disruptions(given, seen, recent)]


def mails(**kinds: tuple[int, int]) -> RecentOutcomes:
    return RecentOutcomes(mails={kind: Mails(*counts) for kind, counts in kinds.items()})


def unbalanced() -> Books:
    return balance(Counts(pages=(), leads=1, queue={}, queue_by_others=0, emails={}))


@pytest.mark.parametrize(
    "recent",
    [
        RecentOutcomes(),
        mails(welcome=(90, 40), admin_alert=(130, 0)),
        mails(welcome=(0, 4)),  # too few to judge: the addresses may be wrong
        None,
    ],
)
def test_a_working_installation_has_no_disruption(recent: RecentOutcomes | None) -> None:
    assert said(health(), stats(), recent) == []
    assert said(health(), stats(stages=[stage(dead=500)]), recent) == []  # old ones that nobody archived


@pytest.mark.parametrize(
    ("given", "seen", "recent", "wanted"),
    [
        (health(database=DOWN), stats(stages=None, books=None), None, "Database: no answer (ConnectError)"),
        (
            health(
                services={
                    "notifier": PartHealth(state="down", parts={"smtp": {"ok": False, "reason": "smtp 535"}})
                }
            ),
            stats(),
            None,
            "Email: unavailable · smtp: smtp 535",
        ),
        (
            health(),
            stats(stages=[stage(paused=True, pause_reason="100 of the last 200 records were dead")]),
            RecentOutcomes(),
            "Email: paused: 100 of the last 200 records were dead",
        ),
        (
            health(),
            stats(),
            mails(welcome=(0, 160)),
            "Email: 160 of the last 160 emails could not be delivered",
        ),
        (health(), stats(), mails(welcome=(2, 3)), "Email: 3 of the last 5 emails could not be delivered"),
        (
            health(),
            stats(),
            mails(welcome=(99, 0), admin_alert=(98, 1)),
            "Email: 1 team notification could not be delivered in the last hour",
        ),
        (
            health(),
            stats(),
            RecentOutcomes(dead={"persister": 2}),
            "Storage: 2 deliveries failed for good in the last hour",
        ),
        (
            health(),
            stats(books=unbalanced()),
            None,
            "Data integrity: the counts of the stages and the database differ",
        ),
        (
            health(mail=PartHealth(state="unknown", reason="the notifier does not say")),
            stats(),
            None,
            "Mail server: status unknown: the notifier does not say",
        ),
        (
            health(),
            stats(groups=[GroupLag(group="fastcore.persister", lag=None, topics=None, reason="timeout")]),
            None,
            "Storage: consumer lag unknown: timeout",
        ),
        (
            health(),
            stats(
                gateways=[
                    GatewaySpool(
                        url="http://g", address="10.0.0.2", state="unknown", status=None, reason="no answer"
                    )
                ]
            ),
            None,
            "Lead intake: gateway 10.0.0.2: no answer",
        ),
        (
            health(),
            stats(site_queues=[SiteQueue(site="shop", asked_at=NOW, reason="site queue answered 401")]),
            None,
            "Website queues: shop: site queue answered 401",
        ),
    ],
)
def test_regression_the_headline_is_not_green_while_something_fails(
    given: SystemHealth, seen: QueueStats, recent: RecentOutcomes | None, wanted: str
) -> None:
    assert said(given, seen, recent) == [wanted]
