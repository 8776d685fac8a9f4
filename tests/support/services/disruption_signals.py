"""The signals of the overview's headline: those of an installation that works, and parts to change."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from contracts.mail_failures import FAILED_STATES
from runtime.sites.model import Site, Sites
from services.admin.dashboard.disruptions.headline import SIGNALS, make_headline
from services.admin.dashboard.disruptions.signals import Severity, Signals
from services.admin.monitoring.ledger import LedgerCounts, compare
from services.admin.rules.mail_rates import MailCounts, MailRates
from services.admin.schemas.destinations import DestinationSummary
from services.admin.schemas.ledger import Books
from services.admin.schemas.system import (
    GatewaySpool,
    GroupLag,
    Job,
    PartHealth,
    QueueStats,
    SiteQueue,
    StageQueue,
    SystemHealth,
)
from services.admin.store.deliveries.recent_outcomes import RecentOutcomes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UP, DOWN = PartHealth(state="up"), PartHealth(state="down", reason="no answer (ConnectError)")
SITES = Sites({"shop": Site(name="The Shop")})
BALANCED = compare(LedgerCounts(topics=(), leads=0, queue={}, queue_by_others=0, emails={}))


def gateway(**spool: float) -> GatewaySpool:
    return GatewaySpool(url="http://g", address="10.0.0.1", state="up", status={"spool": dict(spool)})


def job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "name": "replay_queue", "schedule": "*/5 * * * *", "runs": 1, "last_started_at": NOW,
        "last_finished_at": NOW, "last_outcome": "succeeded", "last_duration_ms": 5, "last_details": {},
        "next_run_at": NOW, "overdue": False,
    }  # fmt: skip
    return Job(**(values | changes))


def site(**changes: Any) -> SiteQueue:
    return SiteQueue(site="shop", asked_at=NOW, **changes)


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
        "gateways": [gateway()],
        "site_queues": [],
    }  # fmt: skip
    return QueueStats(**(values | changes))


def signals(**changes: Any) -> Signals:
    """Return the signals of an installation without a disruption, with some changed."""
    return replace(Signals(make_health(), make_stats(), RecentOutcomes(), [job()], [], [], SITES), **changes)


def target(**changes: Any) -> DestinationSummary:
    """Return the destination crm: healthy, with some values changed."""
    values: dict[str, Any] = {
        **dict.fromkeys(DestinationSummary.model_fields), "name": "crm", "kind": "webhook",
        "state": "healthy", "waiting": 0, "retrying": 0, "dead": 0, "delivered_last_day": 0,
    }  # fmt: skip
    return DestinationSummary(**(values | changes))


def emails_of(
    kind: str, *newest: str, site: str = "shop", reply: str = "550 5.7.1 not allowed", **states: int
) -> MailCounts:
    """Return the emails of one kind. `newest` are the states of the newest emails, the newest first."""
    failed = sum(states.get(state, 0) for state in FAILED_STATES)
    return MailCounts(site, kind, states, newest, ((reply, failed),) if failed else ())


def rates(*counts: MailCounts) -> MailRates:
    return MailRates(counts)


def unbalanced_ledger() -> Books:
    return compare(LedgerCounts(topics=(), leads=1, queue={}, queue_by_others=0, emails={}))


def warning(**parts: str) -> PartHealth:
    return PartHealth(state="up", parts={name: {"ok": True, "reason": why} for name, why in parts.items()})


def down(**parts: str) -> PartHealth:
    return PartHealth(state="down", parts={name: {"ok": False, "reason": why} for name, why in parts.items()})


@dataclass(frozen=True)
class Case:
    """Signals of which the one called `signal` reports `reason`."""

    signal: str
    signals: Signals
    reason: str
    severity: Severity = "bad"
    url: str = ""


def check_case(case: Case) -> None:
    """Fail unless the headline reports exactly the disruption of the case."""
    headline = make_headline(case.signals)
    assert [f"{each.component}: {each.reason}" for each in headline.disruptions] == [case.reason]
    assert [(each.severity, each.url) for each in headline.disruptions] == [(case.severity, case.url)]
    assert headline.style == case.severity
    assert headline.title == ("Service disruption" if case.severity == "bad" else "Needs attention")
    assert list(SIGNALS[case.signal](case.signals)) == headline.disruptions


def signals_of(module: ModuleType) -> set[str]:
    """Return the names of the signals that a module reads."""
    return {name for name, find in SIGNALS.items() if find.__module__ == module.__name__}
