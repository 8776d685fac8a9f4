"""Every query of the pages and routes of the admin service, run by the same code."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts.leads import LeadStatus
from runtime.database.postgres import snapshot
from services.admin.dashboard.view_links import BUILT_IN
from services.admin.monitoring.queue_counts import count_queue
from services.admin.monitoring.scheduled_jobs import list_jobs
from services.admin.schemas.cursors import Position
from services.admin.schemas.filters import AuditFilter, ExportFilter, LeadFilter, LeadOrder, QueueFilter
from services.admin.schemas.lead_conditions import NOBODY, LeadConditions
from services.admin.schemas.replay_filters import GroupFilter, HistoryPage, ReplayOrder, ResultPage
from services.admin.store.audit import AuditLog
from services.admin.store.deliveries.queue import ReplayQueue
from services.admin.store.deliveries.replays import Replays
from services.admin.store.leads import lead_exports
from services.admin.store.leads.leads import Leads
from services.admin.store.leads.responses import Responses
from services.admin.store.leads.search import count_leads
from services.admin.store.leads.trends import Trends
from services.admin.store.planning import plan_for_values
from services.admin.store.privacy import erasure, personal_data
from services.admin.store.views import Views

Run = Callable[[Any], Awaitable[Any]]
DAY: Final = timedelta(days=1)
# Filters of the list in other orders: of all leads, of many, of few, of none.
_ORDERED: Final[dict[str, dict[str, Any]]] = {
    "all": {},
    "a status": {"status_filter": "won"},
    "a site, unassigned": {"site": "shop", "unassigned": True},
    "a rare service": {"service": "Other: wish 7"},
    "a source that is not there": {"source": "nowhere"},
}
# The most frequent values of the filters of the overview's lists, and a value of few leads.
_TOUCHES: Final = {
    "first_source": "google",
    "campaign": "campaign 0",
    "landing_page": "https://fast-techservices.example/page-0",
}
_TOUCHED: Final[dict[str, dict[str, Any]]] = {
    "all": {},
    "a status": {"status_filter": "won"},
    "rows by name": {"sort": "name"},
    "an assignee": {"assignee": "ann"},
}
# Two frequent values that no lead has together.
_NEVER: Final[dict[str, Any]] = {"status_filter": "received", "assignee": "ann"}
# Views, of which each page of leads shows the counts.
_VIEWS: Final[dict[str, LeadConditions]] = {
    **BUILT_IN,
    "two statuses": LeadConditions(status=(LeadStatus.WON, LeadStatus.PROCESSING)),
    "two statuses of a rare service": LeadConditions(
        status=(LeadStatus.WON, LeadStatus.LOST), service="Other: wish 7"
    ),
    "a part of a service, this month": LeadConditions(service="wish", received="this_month"),
    "a site, unassigned, waiting": LeadConditions(site="shop", assignee=NOBODY, waiting=24),
    "a source that is not there, a status": LeadConditions(status=(LeadStatus.WON,), source="nowhere"),
    "a campaign, last month": LeadConditions(campaign="campaign 0", received="last_month"),
    "nobody's name, a status": LeadConditions(status=(LeadStatus.WON,), assignee="nobody"),
}
ZONE: Final = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Case:
    """A page load or a part of it. `run` executes it with a pool. Actions may scan the queue."""

    name: str
    run: Run
    may_walk: tuple[str, ...] = ()


def cases(sample: dict[str, Any]) -> list[Case]:
    """Return all cases with ids, search terms and times of the data."""
    now: datetime = sample["now"]
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    year = midnight - 365 * DAY
    deep = Position(now - 400 * DAY, sample["lead"]).cursor()
    far = Position(now - 400 * DAY, 1).cursor()
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
        _leads("site, status", site="shop", status_filter="won"),
        _leads("source, status", source="google", status_filter="won"),
        _leads("source, status, site", source="google", status_filter="won", site="default"),
        _leads("status and assignee that never meet", **_NEVER),
        _leads("status and assignee that never meet, by name", sort="name", **_NEVER),
        *(
            _leads(f"{name}, {what}", **{name: value}, **more)
            for name, value in _TOUCHES.items()
            for what, more in _TOUCHED.items()
        ),
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
        _leads("part of a name", q="kafo"),
        _leads("phone number, as in the office", q="030 1234567"),
        _leads("name and phone number", q="Anna 030 12 345 67"),
        _leads("name and part of a phone number", q="Anna 0151 2345"),
        _leads("phone number with a prefix", q="011 49 30 12 34 567"),
        _leads("phone number, Russian", q="8 912 345 67 89"),
        _leads("end of a phone number", q="4567"),
        _leads("id", q=str(sample["lead"])),
        _leads("reference in the emails", q=str(sample["lead"])[-8:]),
        _leads("text of every message", q="would like"),
        _leads("two letters", q="ok"),
        _leads("two common words that never meet", q="okafor garcia"),
        _leads("common word and no match", q="gmail qqzzxy"),
        _leads("name and common word", q="okafor gmail"),
        _leads("common word, rare status", q="gmx", status_filter="processing"),
        _leads("common word and service that never meet", q="gmail", service="Beekeeping"),
        _leads("name, rare service", q="maria", service="Other: wish 7"),
        _leads("name, a status that has few", q="okafor", status_filter="processing"),
        _leads("name, status, service", q="maria", status_filter="won", service="Training"),
        _leads("common word, a day a year ago", q="gmail", since=now - 365 * DAY, until=now - 364 * DAY),
        _leads("common word, cursor", q="gmail", cursor=deep),
        *(
            _leads(f"order {order}, {what}", sort=order, **fields)
            for order in get_args(LeadOrder)
            if order != "received"
            for what, fields in _ORDERED.items()
        ),
        _leads("two statuses", status_filter=("won", "lost")),
        _leads("two statuses, rare service", status_filter=("won", "lost"), service="Other: wish 7"),
        Case("leads: new ones", lambda pool: Leads(pool).count_since(LeadFilter(), now - DAY, 100)),
        Case(
            "leads: new ones of a search",
            lambda pool: Leads(pool).count_since(LeadFilter(q="okafor"), now - DAY, 100),
        ),
        *(_view(name, view) for name, view in _VIEWS.items()),
        Case("lead: its page", lambda pool: Leads(pool).get_lead(sample["lead"])),
        Case("lead: in the queue", lambda pool: Leads(pool).get_lead(sample["failed"])),
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
        Case("stats: queue and books", count_queue),
        Case("jobs", list_jobs),
        Case("overview: numbers", lambda pool: Responses(pool).numbers(now, midnight, midnight - DAY)),
        Case("overview: response times", lambda pool: Responses(pool).response_times(now)),
        Case("overview: 180 days", lambda pool: Trends(pool).count("day", midnight - 180 * DAY, ZONE)),
        Case("overview: 24 months", lambda pool: Trends(pool).count("month", midnight - 730 * DAY, ZONE)),
        Case("overview: hours of a week", lambda pool: Trends(pool).count_by_hour_of_week(year, ZONE)),
        Case("overview: top values, 30 days", lambda pool: Trends(pool).top_values(midnight - 30 * DAY)),
        Case("overview: top values, a year", lambda pool: Trends(pool).top_values(year)),
        Case("overview: by status and service", lambda pool: Trends(pool).shares()),
        *_failed_deliveries(sample),
        *_people(sample),
    ]


def _view(name: str, view: LeadConditions) -> Case:
    return Case(f"view: {name}", lambda pool: Views(pool).count([view], ZONE, "Ann"))


def _failed_deliveries(sample: dict[str, Any]) -> list[Case]:
    deep = Position(sample["now"], sample["replay"]).cursor()
    return [
        _groups("open"),
        _groups("resolved", state="resolved"),
        _groups("stage and kind", stage="notifier", kind="welcome"),
        Case("groups: how many wait", lambda pool: ReplayQueue(pool).count_waiting()),
        _preview("one group", state="dead", stage="notifier", kind="welcome", reason="smtp 552 5.2.2"),
        _preview("all that is dead", state="dead"),
        replace(_preview("all"), may_walk=("replay_queue",)),
        Case("replays: history", lambda pool: Replays(pool).list_replays(HistoryPage())),
        Case("replays: history, cursor", lambda pool: Replays(pool).list_replays(HistoryPage(cursor=deep))),
        _replay(sample, "its rows"),
        _replay(sample, "queued", result="queued"),
        _replay(sample, "failed", result="failed"),
        _replay(sample, "none so", result="skipped"),
        _replay(sample, "cursor", cursor=UUID(int=2**127)),
    ]


def _people(sample: dict[str, Any]) -> list[Case]:
    return [
        *(
            _run_query(f"person: {name}", query, id=sample["lead"])
            for name, query in (
                ("the lead", "read_lead"),
                ("mails", "read_emails"),
                ("queue rows", "read_queue"),
                ("entries", "read_entries"),
            )
        ),
        _run_query("person: all leads of an address", "find_by_email", erasure._SQL, email=sample["email"]),
        _export("all"),
        _export("a service and status", service="SEO", status_filter="won"),
        _export("common word", q="gmail"),
        _export("word of a few", q="okafor"),
        _export("rare word", q="borealis media"),
    ]


def _leads(what: str, **fields: Any) -> Case:
    return Case(f"leads: {what}", lambda pool: Leads(pool).list_leads(LeadFilter(**fields)))


def _queue(what: str, **fields: Any) -> Case:
    return Case(f"queue: {what}", lambda pool: ReplayQueue(pool).list_items(QueueFilter(**fields)))


def _audit(what: str, **fields: Any) -> Case:
    return Case(f"audit: {what}", lambda pool: AuditLog(pool).list_entries(AuditFilter(**fields)))


def _groups(what: str, **fields: Any) -> Case:
    return Case(f"groups: {what}", lambda pool: ReplayQueue(pool).list_groups(GroupFilter(**fields)))


def _preview(what: str, **fields: Any) -> Case:
    return Case(f"preview: {what}", lambda pool: Replays(pool).preview(ReplayOrder(**fields)))


def _replay(sample: dict[str, Any], what: str, **fields: Any) -> Case:
    page = ResultPage(**fields)
    return Case(f"replay: {what}", lambda pool: Replays(pool).get_replay(sample["replay"], page))


def _run_query(name: str, query: str, queries: Any = personal_data._SQL, **values: Any) -> Case:
    """Run one query alone, because the function that uses it also writes."""

    async def run(pool: Any) -> None:
        async with snapshot(pool) as connection:
            await plan_for_values(connection)
            found = getattr(queries, query)(connection, **values)
            if hasattr(found, "__aiter__"):
                async for _ in found:
                    pass
            else:
                await found

    return Case(name, run)


def _export(what: str, **fields: Any) -> Case:
    """Count and read the rows of the first part of a CSV export."""
    wanted = ExportFilter(**fields).selection() | {"left_out": ["spam", "erased"]}
    first = _run_query(
        "",
        "list_export",
        lead_exports._SQL,
        **wanted,
        after_at=None,
        after_id=None,
        limit=lead_exports.CHUNK,
    )

    async def run(pool: Any) -> None:
        async with snapshot(pool) as connection:
            await plan_for_values(connection)
            await count_leads(connection, wanted)
        await first.run(pool)

    return Case(f"CSV: {what}", run)
