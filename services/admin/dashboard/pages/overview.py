"""The overview, for the people who answer leads: panels that load separately."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response

from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.dashboard.auth import CurrentSession, SessionLookup, UnverifiedSession
from services.admin.dashboard.cache import Cache, CurrentCache
from services.admin.dashboard.charts import Chart, Unit, bar_chart, window_start
from services.admin.dashboard.headline import read_signals
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.dashboard.timezone import ViewerZone

router = APIRouter(prefix="/admin", route_class=PageRoute)
CHART_MAX_AGE_SECONDS: dict[Unit, float] = {"hour": 10, "day": 30}


@router.get("")
async def show_overview(
    request: Request,
    lookup: SessionLookup,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
    full: bool = False,
) -> Response:
    """Show the page without data. The browser then requests each panel.

    A browser without scripts requests the page with `full`, which has all panels. Without the database, the
    panel of leads is missing: it is unknown whether the session is revoked.
    """
    session, database_error = lookup
    values: dict[str, Any] = {}
    if full:
        await read_signals(request.app, cache)
        values = {"headline": request.app.state.headline}
        if not database_error:
            values |= await _leads_values(adapters, zone, cache)
    return render(request, session, "overview/overview.html", full=full, **values)


@router.get("/ui/overview/leads")
async def leads_panel(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
) -> Response:
    """Render the charts of leads over time, by status and by service."""
    values = await _leads_values(adapters, zone, cache)
    return render(request, session, "overview/overview_leads.html", **values)


@router.get("/ui/overview/parts")
async def headline_panel(request: Request, session: UnverifiedSession, cache: CurrentCache) -> Response:
    """Render the headline, with links to what is wrong."""
    await read_signals(request.app, cache)
    return render(request, session, "overview/overview_headline.html", headline=request.app.state.headline)


async def _leads_values(adapters: Adapters, zone: ZoneInfo, cache: Cache) -> dict[str, Any]:
    now = datetime.now(UTC)

    async def load_chart(unit: Unit) -> Chart:
        since = window_start(unit, now, zone)
        count = partial(adapters.trends.count, unit, since, zone)
        # The key contains the start of the window, so that a new hour or day is not served from the cache.
        key = f"{unit} {zone.key} {since:%d%H%M}"
        counts = await cache.get_or_load(key, count, CHART_MAX_AGE_SECONDS[unit])
        return bar_chart(unit, counts, now, zone)

    shares = await cache.get_or_load("shares", adapters.trends.shares, CHART_MAX_AGE_SECONDS["day"])
    charts = [("Last 24 hours", await load_chart("hour")), ("Last 30 days", await load_chart("day"))]
    return {"charts": charts, "shares": shares, "zone": zone.key}
