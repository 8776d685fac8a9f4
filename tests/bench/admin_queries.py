"""Every query of the pages and routes of the admin service, run by the same code."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, get_args
from uuid import UUID

from contracts.leads import LeadStatus
from services.admin.dashboard.view_links import BUILT_IN
from services.admin.monitoring.mail_outcomes import HOUR, count_mail_outcomes
from services.admin.monitoring.queue_counts import count_queue
from services.admin.monitoring.scheduled_jobs import list_jobs
from services.admin.schemas.cursors import Position
from services.admin.schemas.filters import LeadFilter, LeadOrder
from services.admin.schemas.lead_conditions import NOBODY, LeadConditions
from services.admin.schemas.replay_filters import HistoryPage
from services.admin.store.deliveries.queue import ReplayQueue
from services.admin.store.deliveries.replays import Replays
from services.admin.store.leads.leads import Leads
from services.admin.store.leads.responses import Responses
from services.admin.store.leads.trends import Trends
from services.admin.store.privacy import erasure
from tests.bench.admin_cases import (
    ZONE,
    Case,
    audit_case,
    export_case,
    groups_case,
    leads_case,
    preview_case,
    queue_case,
    replay_case,
    run_query,
    view_case,
)

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


def cases(sample: dict[str, Any]) -> list[Case]:
    """Return all cases with ids, search terms and times of the data."""
    now: datetime = sample["now"]
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    year = midnight - 365 * DAY
    deep = Position(now - 400 * DAY, sample["lead"]).cursor()
    far = Position(now - 400 * DAY, 1).cursor()
    return [
        leads_case("newest first"),
        leads_case("offset 10,000", offset=10_000),
        leads_case("cursor, 400 days deep", cursor=deep),
        leads_case("status received", status_filter="received"),
        leads_case("status erased, offset 10,000", status_filter="erased", offset=10_000),
        leads_case("status won, cursor", status_filter="won", cursor=deep),
        leads_case("common service", service="Web design"),
        leads_case("rare service", service="Other: wish 7"),
        leads_case("service that is not there", service="Beekeeping"),
        leads_case("status and service", status_filter="won", service="Training"),
        leads_case("status and rare service", status_filter="received", service="Other: wish 7"),
        leads_case("status and service, offset 10,000", status_filter="lost", service="SEO", offset=10_000),
        leads_case("last day", since=now - DAY),
        leads_case("a day a year ago", since=now - 365 * DAY, until=now - 364 * DAY),
        leads_case("a year ago and before", until=now - 365 * DAY),
        leads_case(
            "status, a week a year ago", status_filter="won", since=now - 372 * DAY, until=now - 365 * DAY
        ),
        leads_case("status, service, a year", status_filter="won", service="SEO", since=now - 365 * DAY),
        leads_case("site, status", site="shop", status_filter="won"),
        leads_case("source, status", source="google", status_filter="won"),
        leads_case("source, status, site", source="google", status_filter="won", site="default"),
        leads_case("status and assignee that never meet", **_NEVER),
        leads_case("status and assignee that never meet, by name", sort="name", **_NEVER),
        *(
            leads_case(f"{name}, {what}", **{name: value}, **more)
            for name, value in _TOUCHES.items()
            for what, more in _TOUCHED.items()
        ),
        leads_case("one person's email", q=sample["email"]),
        leads_case("beginning of an email", q=sample["email"][:8]),
        leads_case("name", q="okafor"),
        leads_case("first and last name", q="Fatima Okafor"),
        leads_case("company", q="Borealis Media"),
        leads_case("very common word", q="gmail"),
        leads_case("very common word, offset 200", q="gmail", offset=200),
        leads_case("word of a few, offset 200", q="marsh", offset=200),
        leads_case("two common words", q="gmail com"),
        leads_case("one letter", q="a"),
        leads_case("word of a few", q="marsh"),
        leads_case("no match", q="qqzzxy"),
        leads_case("part of a name", q="kafo"),
        leads_case("phone number, as in the office", q="030 1234567"),
        leads_case("name and phone number", q="Anna 030 12 345 67"),
        leads_case("name and part of a phone number", q="Anna 0151 2345"),
        leads_case("phone number with a prefix", q="011 49 30 12 34 567"),
        leads_case("phone number, Russian", q="8 912 345 67 89"),
        leads_case("end of a phone number", q="4567"),
        leads_case("id", q=str(sample["lead"])),
        leads_case("reference in the emails", q=str(sample["lead"])[-8:]),
        leads_case("text of every message", q="would like"),
        leads_case("two letters", q="ok"),
        leads_case("two common words that never meet", q="okafor garcia"),
        leads_case("common word and no match", q="gmail qqzzxy"),
        leads_case("name and common word", q="okafor gmail"),
        leads_case("common word, rare status", q="gmx", status_filter="processing"),
        leads_case("common word and service that never meet", q="gmail", service="Beekeeping"),
        leads_case("name, rare service", q="maria", service="Other: wish 7"),
        leads_case("name, a status that has few", q="okafor", status_filter="processing"),
        leads_case("name, status, service", q="maria", status_filter="won", service="Training"),
        leads_case("common word, a day a year ago", q="gmail", since=now - 365 * DAY, until=now - 364 * DAY),
        leads_case("common word, cursor", q="gmail", cursor=deep),
        *(
            leads_case(f"order {order}, {what}", sort=order, **fields)
            for order in get_args(LeadOrder)
            if order != "received"
            for what, fields in _ORDERED.items()
        ),
        leads_case("two statuses", status_filter=("won", "lost")),
        leads_case("two statuses, rare service", status_filter=("won", "lost"), service="Other: wish 7"),
        Case("leads: new ones", lambda pool: Leads(pool).count_since(LeadFilter(), now - DAY, 100)),
        Case(
            "leads: new ones of a search",
            lambda pool: Leads(pool).count_since(LeadFilter(q="okafor"), now - DAY, 100),
        ),
        *(view_case(name, view) for name, view in _VIEWS.items()),
        Case("lead: its page", lambda pool: Leads(pool).get_lead(sample["lead"])),
        Case("lead: in the queue", lambda pool: Leads(pool).get_lead(sample["failed"])),
        queue_case("newest failure first"),
        queue_case("waiting", state="waiting"),
        queue_case("resolved, stage, kind", state="resolved", stage="notifier", kind="welcome"),
        queue_case("reason", reason="smtp 552 5.2.2"),
        queue_case("reason that is not there", reason="smtp 599"),
        queue_case("stage and reason, dead", stage="notifier", reason="smtp 451 4.7.1", state="dead"),
        queue_case("a lead", lead_id=sample["failed"]),
        queue_case("cursor", cursor=deep),
        audit_case("newest first"),
        audit_case("cursor, 400 days deep", cursor=far),
        audit_case("common event", event="email.sent"),
        audit_case("rare event", event="email.unknown"),
        audit_case("event that is not there", event="queue.cleared"),
        audit_case("lead", lead_id=sample["lead"]),
        audit_case("lead and event", lead_id=sample["lead"], event="email.sent"),
        audit_case("request", request_id=sample["request"]),
        audit_case("common actor", actor="notifier"),
        audit_case("rare actor", actor="erik"),
        audit_case("actor that is not there", actor="nobody"),
        audit_case("actor and event", actor="erik", event="lead.status_changed"),
        audit_case("actor and event that never meet", actor="notifier", event="lead.status_changed"),
        audit_case("actor and another's event", actor="ann", event="email.sent"),
        audit_case("actor, a day a year ago", actor="ann", since=now - 365 * DAY, until=now - 364 * DAY),
        audit_case("actor, cursor", actor="ann", cursor=far),
        audit_case(
            "event, a week a year ago", event="email.failed", since=now - 372 * DAY, until=now - 365 * DAY
        ),
        audit_case("a year ago and before", until=now - 365 * DAY),
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
        Case("overview: emails of an hour", partial(count_mail_outcomes, period=HOUR)),
        Case("overview: emails of a day", partial(count_mail_outcomes, period=DAY)),
        *_failed_deliveries(sample),
        *_people(sample),
    ]


def _failed_deliveries(sample: dict[str, Any]) -> list[Case]:
    deep = Position(sample["now"], sample["replay"]).cursor()
    return [
        groups_case("open"),
        groups_case("resolved", state="resolved"),
        groups_case("stage and kind", stage="notifier", kind="welcome"),
        Case("groups: how many wait", lambda pool: ReplayQueue(pool).count_waiting()),
        preview_case("one group", state="dead", stage="notifier", kind="welcome", reason="smtp 552 5.2.2"),
        preview_case("all that is dead", state="dead"),
        replace(preview_case("all"), may_walk=("replay_queue",)),
        Case("replays: history", lambda pool: Replays(pool).list_replays(HistoryPage())),
        Case("replays: history, cursor", lambda pool: Replays(pool).list_replays(HistoryPage(cursor=deep))),
        replay_case(sample, "its rows"),
        replay_case(sample, "queued", result="queued"),
        replay_case(sample, "failed", result="failed"),
        replay_case(sample, "none so", result="skipped"),
        replay_case(sample, "cursor", cursor=UUID(int=2**127)),
    ]


def _people(sample: dict[str, Any]) -> list[Case]:
    return [
        *(
            run_query(f"person: {name}", query, id=sample["lead"])
            for name, query in (
                ("the lead", "read_lead"),
                ("mails", "read_emails"),
                ("queue rows", "read_queue"),
                ("entries", "read_entries"),
            )
        ),
        run_query("person: all leads of an address", "find_by_email", erasure._SQL, email=sample["email"]),
        run_query("person: all leads of a phone", "find_by_phone", erasure._SQL, ending="301234567"),
        export_case("all"),
        export_case("a service and status", service="SEO", status_filter="won"),
        export_case("common word", q="gmail"),
        export_case("word of a few", q="okafor"),
        export_case("rare word", q="borealis media"),
    ]
