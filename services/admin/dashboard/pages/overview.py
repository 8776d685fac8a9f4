"""The overview, for the people who answer leads. Its panels load separately."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, FastAPI, Query, Request, Response

from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.dashboard.auth import CurrentSession, SessionLookup, UnverifiedSession
from services.admin.dashboard.cache import Cache, CurrentCache
from services.admin.dashboard.charts import (
    DEFAULT_RANGE,
    RANGES,
    Range,
    bar_chart,
    bucket_starts,
    busiest_hour,
    hour_name,
    range_start,
    week_table,
)
from services.admin.dashboard.disruptions.emails import server_refusal
from services.admin.dashboard.disruptions.headline import make_headline
from services.admin.dashboard.headline import read_signals
from services.admin.dashboard.lead_search import LEADS
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.dashboard.timezone import ViewerZone, midnight
from services.admin.rules.mail_rates import MailRates
from services.admin.schemas.lead_conditions import NOBODY
from services.admin.store.leads.trends import Dimension
from services.admin.texts import gettext, gettext_noop

router = APIRouter(prefix="/admin", route_class=PageRoute)
NUMBERS_MAX_AGE_SECONDS: Final = 5.0
CHART_MAX_AGE_SECONDS: Final = 10.0
LISTS_MAX_AGE_SECONDS: Final = 30.0
# The most frequent values: a filter of the list, the title, and the text of leads without a value.
TOP_LISTS: Final[tuple[tuple[Dimension, str, str], ...]] = (
    ("first_source", gettext_noop("Sources, first touch"), gettext_noop("No source")),
    ("source", gettext_noop("Sources, last touch"), gettext_noop("No source")),
    ("campaign", gettext_noop("Campaigns"), gettext_noop("No campaign")),
    ("service", gettext_noop("Services"), gettext_noop("No service")),
    ("site", gettext_noop("Sites"), gettext_noop("No site")),
    ("landing_page", gettext_noop("Landing pages"), gettext_noop("No landing page")),
)

RangeKey = Annotated[str, Query(alias="range", max_length=10)]


@router.get("")
async def show_overview(
    request: Request,
    lookup: SessionLookup,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
    key: RangeKey = DEFAULT_RANGE,
    full: bool = False,
) -> Response:
    """Show the page without data. The browser then requests each panel.

    A browser without scripts requests `full`: the page with all panels. If the database is unavailable, the
    panels of leads and emails are left out, because the session may have been revoked.
    """
    session, database_error = lookup
    shown = RANGES.get(key, RANGES[DEFAULT_RANGE])
    values: dict[str, Any] = {"shown": shown}
    if full:
        values |= {"headline": make_headline(await read_signals(request.app, cache))}
        if not database_error:
            values |= await _leads_values(adapters, zone, cache, shown)
            values |= await _emails_values(request.app, adapters, cache)
    return render(request, session, "overview/overview.html", full=full, **values)


@router.get("/ui/overview/leads")
async def leads_panel(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
    key: RangeKey = DEFAULT_RANGE,
) -> Response:
    """Render the panel with the numbers, the chart and the lists of leads."""
    values = await _leads_values(adapters, zone, cache, RANGES.get(key, RANGES[DEFAULT_RANGE]))
    return render(request, session, "overview/overview_leads.html", full=False, **values)


@router.get("/ui/overview/parts")
async def headline_panel(request: Request, session: UnverifiedSession, cache: CurrentCache) -> Response:
    """Render the panel with the headline, and links to the disruptions."""
    headline = make_headline(await read_signals(request.app, cache))
    return render(request, session, "overview/overview_headline.html", headline=headline)


@router.get("/ui/overview/emails")
async def emails_panel(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, cache: CurrentCache
) -> Response:
    """Render the panel with the emails of each site, and with what the mail servers say if emails fail."""
    values = await _emails_values(request.app, adapters, cache)
    return render(request, session, "overview/overview_emails.html", **values)


async def _emails_values(app: FastAPI, adapters: Adapters, cache: Cache) -> dict[str, Any]:
    signals, day = await asyncio.gather(
        read_signals(app, cache),
        cache.get_or_load("emails of a day", adapters.mail_rates_of_day, LISTS_MAX_AGE_SECONDS),
    )
    return {
        "mail_rates": signals.emails or MailRates(),
        "mail_days": day,
        "refusal": server_refusal(signals),
    }


async def _leads_values(adapters: Adapters, zone: ZoneInfo, cache: Cache, shown: Range) -> dict[str, Any]:
    now = datetime.now(UTC)
    local_day = now.astimezone(zone).date()
    today, yesterday = midnight(local_day, zone), midnight(local_day, zone, days=-1)
    since = range_start(shown, now, zone)

    # The keys contain the day, so that a new day is not served from the cache.
    def key(name: str) -> str:
        return f"{name} {zone.key} {local_day}"

    # At once, because each reads other rows: the slowest of them takes a third of the time of all.
    numbers, counts, hours, tops, times = await asyncio.gather(
        cache.get_or_load(
            key("numbers"),
            partial(adapters.responses.numbers, now, today, yesterday),
            NUMBERS_MAX_AGE_SECONDS,
        ),
        cache.get_or_load(
            key(f"counts {shown.key}"),
            partial(adapters.trends.count, shown.unit, bucket_starts(shown, now, zone)[0], zone),
            CHART_MAX_AGE_SECONDS,
        ),
        cache.get_or_load(
            key(f"week {shown.key}"),
            partial(adapters.trends.count_by_hour_of_week, since, zone),
            LISTS_MAX_AGE_SECONDS,
        ),
        cache.get_or_load(
            key(f"tops {shown.key}"), partial(adapters.trends.top_values, since), LISTS_MAX_AGE_SECONDS
        ),
        cache.get_or_load(
            key("times"), partial(adapters.responses.response_times, now), LISTS_MAX_AGE_SECONDS
        ),
    )
    week = week_table(hours)
    return {
        "shown": shown,
        "ranges": RANGES.values(),
        "numbers": numbers,
        "chart": bar_chart(shown, counts, now, zone),
        "top_lists": [
            (dimension, gettext(title), gettext(missing), tops[dimension])
            for dimension, title, missing in TOP_LISTS
        ],
        "week": week,
        "busiest": busiest_hour(week),
        "hour_name": hour_name,
        "response_times": times,
        "leads_url": partial(_leads_url, zone),
        "nobody": NOBODY,
        "today": local_day,
        "since": since.astimezone(zone).date(),
        "oldest_day": numbers.unanswered.oldest_at and numbers.unanswered.oldest_at.astimezone(zone).date(),
        "oldest_seconds": numbers.unanswered.oldest_at
        and (now - numbers.unanswered.oldest_at).total_seconds(),
        "zone": zone.key,
    }


def _leads_url(zone: ZoneInfo, **filters: object) -> str:
    values = {name: str(value) for name, value in filters.items() if value}
    return f"{LEADS}?{urlencode(values | {'zone': zone.key})}"
