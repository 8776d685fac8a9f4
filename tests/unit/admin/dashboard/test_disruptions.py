"""The overview's headline: operational only if every component is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.admin.dashboard.disruptions import find_disruptions
from services.admin.monitoring.ledger import LedgerCounts, compare
from services.admin.schemas.ledger import Books
from services.admin.schemas.system import (
    GatewaySpool,
    GroupLag,
    PartHealth,
    QueueStats,
    SiteQueue,
    StageQueue,
    SystemHealth,
)
from services.admin.store.deliveries.recent_outcomes import EmailOutcomes, RecentOutcomes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UP, DOWN = PartHealth(state="up"), PartHealth(state="down", reason="no answer (ConnectError)")
BALANCED = compare(LedgerCounts(topics=(), leads=0, queue={}, queue_by_others=0, emails={}))


def make_health(**parts: Any) -> SystemHealth:
    services = dict.fromkeys(("ingest", "persister", "notifier", "flusher"), UP) | parts.pop("services", {})
    components: dict[str, Any] = {"database": UP, "broker": UP, "mail": UP} | parts
    return SystemHealth(status="up", at=NOW, services=services, **components)


def queue_of(name: str = "notifier", **changes: Any) -> StageQueue:
    counts = dict.fromkeys(("waiting", "replaying", "due", "dead", "resolved", "archived"), 0)
    opened: dict[str, Any] = {"oldest_open_at": None, "oldest_open_age_seconds": None}
    values: dict[str, Any] = {**counts, **opened, "paused": False, "pause_reason": None, **changes}
    return StageQueue(stage=name, **values)


def make_stats(**changes: Any) -> QueueStats:
    values: dict[str, Any] = {
        "at": NOW, "stages": [queue_of()], "books": BALANCED, "read_at": NOW, "failed_not_taken": 0,
        "groups": [GroupLag(group="fastcore.notifier", lag=3, topics={})],
        "gateways": [GatewaySpool(url="http://g", address="10.0.0.1", state="up", status={})],
        "site_queues": [],
    }  # fmt: skip
    return QueueStats(**(values | changes))


def texts(health: SystemHealth, stats: QueueStats, recent: RecentOutcomes | None) -> list[str]:
    return [f"{each.component}: {each.reason}" for each in find_disruptions(health, stats, recent)]


def outcomes(**kinds: tuple[int, int]) -> RecentOutcomes:
    return RecentOutcomes(emails={kind: EmailOutcomes(*counts) for kind, counts in kinds.items()})


def unbalanced_books() -> Books:
    return compare(LedgerCounts(topics=(), leads=1, queue={}, queue_by_others=0, emails={}))


@pytest.mark.parametrize(
    "recent",
    [
        RecentOutcomes(),
        outcomes(welcome=(90, 40), admin_alert=(130, 0)),
        outcomes(welcome=(0, 4)),  # below MIN_EMAILS
        None,
    ],
)
def test_a_working_installation_has_no_disruption(recent: RecentOutcomes | None) -> None:
    assert texts(make_health(), make_stats(), recent) == []
    assert texts(make_health(), make_stats(stages=[queue_of(dead=500)]), recent) == []  # old failures


@pytest.mark.parametrize(
    ("health", "stats", "recent", "expected"),
    [
        (
            make_health(database=DOWN),
            make_stats(stages=None, books=None),
            None,
            "Database: no answer (ConnectError)",
        ),
        (
            make_health(
                services={
                    "notifier": PartHealth(state="down", parts={"smtp": {"ok": False, "reason": "smtp 535"}})
                }
            ),
            make_stats(),
            None,
            "Email: unavailable · smtp: smtp 535",
        ),
        (
            make_health(),
            make_stats(stages=[queue_of(paused=True, pause_reason="100 of the last 200 records were dead")]),
            RecentOutcomes(),
            "Email: paused: 100 of the last 200 records were dead",
        ),
        (
            make_health(),
            make_stats(),
            outcomes(welcome=(0, 160)),
            "Email: 160 of the last 160 emails could not be delivered",
        ),
        (
            make_health(),
            make_stats(),
            outcomes(welcome=(2, 3)),
            "Email: 3 of the last 5 emails could not be delivered",
        ),
        (
            make_health(),
            make_stats(),
            outcomes(welcome=(99, 0), admin_alert=(98, 1)),
            "Email: 1 team notification could not be delivered in the last hour",
        ),
        (
            make_health(),
            make_stats(),
            RecentOutcomes(dead={"persister": 2}),
            "Storage: 2 deliveries failed permanently in the last hour",
        ),
        (
            make_health(),
            make_stats(books=unbalanced_books()),
            None,
            "Data integrity: the counts of the processing steps and the database differ",
        ),
        (
            make_health(mail=PartHealth(state="unknown", reason="the notifier does not say")),
            make_stats(),
            None,
            "Mail server: status unknown: the notifier does not say",
        ),
        (
            make_health(),
            make_stats(
                groups=[GroupLag(group="fastcore.persister", lag=None, topics=None, reason="timeout")]
            ),
            None,
            "Storage: consumer lag unknown: timeout",
        ),
        (
            make_health(),
            make_stats(
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
            make_health(),
            make_stats(site_queues=[SiteQueue(site="shop", asked_at=NOW, reason="site queue answered 401")]),
            None,
            "Website queues: shop: site queue answered 401",
        ),
    ],
)
def test_regression_the_headline_reports_each_failure(
    health: SystemHealth, stats: QueueStats, recent: RecentOutcomes | None, expected: str
) -> None:
    assert texts(health, stats, recent) == [expected]
