"""Every query that a page or a route of the admin service asks, by the code that asks it. No timing here."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from services.admin.census import take_census
from services.admin.filters import AuditFilter, LeadFilter, QueueFilter
from services.admin.paging import Place
from services.admin.store import Store
from tests.bench.data import SQL

Ask = Callable[[Any], Awaitable[Any]]
DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Case:
    """One page load, or one part of it: `ask` does it with a pool."""

    name: str
    ask: Ask


def cases(sample: dict[str, Any]) -> list[Case]:
    """List them all, for ids, words and times that the data has."""
    now: datetime = sample["now"]
    deep = Place(now - 400 * DAY, sample["lead"]).cursor()
    far = Place(now - 400 * DAY, 1).cursor()
    return [
        _leads("newest first"),
        _leads("offset 10,000", offset=10_000),
        _leads("cursor, 400 days deep", cursor=deep),
        _leads("status received", status_filter="received"),
        _leads("status erased, offset 10,000", status_filter="erased", offset=10_000),
        _leads("status won, cursor", status_filter="won", cursor=deep),
        _leads("common service", service="Web design"),
        _leads("rare service", service="Other: wish 7"),
        _leads("service that is not there", service="Beekeeping"),
        _leads("status and service", status_filter="won", service="Training"),
        _leads("status and rare service", status_filter="received", service="Other: wish 7"),
        _leads("status and service, offset 10,000", status_filter="lost", service="SEO", offset=10_000),
        _leads("last day", since=now - DAY),
        _leads("a day a year ago", since=now - 365 * DAY, until=now - 364 * DAY),
        _leads("a year ago and before", until=now - 365 * DAY),
        _leads(
            "status, a week a year ago", status_filter="won", since=now - 372 * DAY, until=now - 365 * DAY
        ),
        _leads("status, service, a year", status_filter="won", service="SEO", since=now - 365 * DAY),
        _leads("one person's email", q=sample["email"]),
        _leads("beginning of an email", q=sample["email"][:8]),
        _leads("name", q="okafor"),
        _leads("first and last name", q="Fatima Okafor"),
        _leads("company", q="Borealis Media"),
        _leads("very common word", q="gmail"),
        _leads("very common word, offset 200", q="gmail", offset=200),
        _leads("word of a few, offset 200", q="marsh", offset=200),
        _leads("two common words", q="gmail com"),
        _leads("one letter", q="a"),
        _leads("word of a few", q="marsh"),
        _leads("no match", q="qqzzxy"),
        _leads("common word and no match", q="gmail qqzzxy"),
        _leads("name and common word", q="okafor gmail"),
        _leads("common word, rare status", q="gmx", status_filter="erased"),
        _leads("name, status, service", q="maria", status_filter="won", service="Training"),
        _leads("common word, a day a year ago", q="gmail", since=now - 365 * DAY, until=now - 364 * DAY),
        _leads("common word, cursor", q="gmail", cursor=deep),
        Case("lead: its page", lambda pool: Store(pool).get_lead(sample["lead"])),
        Case("lead: in the queue", lambda pool: Store(pool).get_lead(sample["failed"])),
        _queue("newest failure first"),
        _queue("waiting", state="waiting"),
        _queue("resolved, stage, kind", state="resolved", stage="notifier", kind="welcome"),
        _queue("reason", reason="smtp 552 5.2.2"),
        _queue("reason that is not there", reason="smtp 599"),
        _queue("stage and reason, dead", stage="notifier", reason="smtp 451 4.7.1", state="dead"),
        _queue("a lead", lead_id=sample["failed"]),
        _queue("cursor", cursor=deep),
        _audit("newest first"),
        _audit("cursor, 400 days deep", cursor=far),
        _audit("common event", event="email.sent"),
        _audit("rare event", event="email.unknown"),
        _audit("event that is not there", event="queue.cleared"),
        _audit("lead", lead_id=sample["lead"]),
        _audit("lead and event", lead_id=sample["lead"], event="email.sent"),
        _audit("request", request_id=sample["request"]),
        _audit("common actor", actor="notifier"),
        _audit("rare actor", actor="erik"),
        _audit("actor that is not there", actor="nobody"),
        _audit("actor and event", actor="erik", event="lead.status_changed"),
        _audit("actor and event that never meet", actor="notifier", event="lead.status_changed"),
        _audit("actor and another's event", actor="ann", event="email.sent"),
        _audit("actor, a day a year ago", actor="ann", since=now - 365 * DAY, until=now - 364 * DAY),
        _audit("actor, cursor", actor="ann", cursor=far),
        _audit(
            "event, a week a year ago", event="email.failed", since=now - 372 * DAY, until=now - 365 * DAY
        ),
        _audit("a year ago and before", until=now - 365 * DAY),
        Case("stats: queue and books", take_census),
        Case("jobs", lambda pool: Store(pool).list_jobs()),
        _sketch("overview: leads per hour, 24 hours", "leads_per_hour", now),
        _sketch("overview: leads per day, 30 days", "leads_per_day", now),
        _sketch("overview: all leads by status", "leads_by_status", None),
        _sketch("overview: by service, 30 days", "leads_by_service", now),
        _sketch("workbench: groups by reason", "queue_groups", None),
    ]


def _leads(what: str, **asked: Any) -> Case:
    return Case(f"leads: {what}", lambda pool: Store(pool).list_leads(LeadFilter(**asked)))


def _queue(what: str, **asked: Any) -> Case:
    return Case(f"queue: {what}", lambda pool: Store(pool).list_queue(QueueFilter(**asked)))


def _audit(what: str, **asked: Any) -> Case:
    return Case(f"audit: {what}", lambda pool: Store(pool).list_audit(AuditFilter(**asked)))


def _sketch(name: str, query: str, now: datetime | None) -> Case:
    """Ask a query of the bench's own: one that a page wants, as it would be written."""

    async def ask(pool: Any) -> None:
        async with pool.acquire() as connection:
            given = {"now": now} if now else {}
            async for _ in getattr(SQL, query)(connection, **given):
                pass

    return Case(name, ask)
