"""The overview: a page of panels that load separately, so that a slow component delays only its own panel."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request, Response

from contracts.failures import Stage
from runtime.failures import DependencyUnavailable
from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.dashboard.auth import CurrentSession, SessionLookup, UnverifiedSession
from services.admin.dashboard.cache import Cache, CurrentCache
from services.admin.dashboard.charts import Chart, Unit, bar_chart, window_start
from services.admin.dashboard.disruptions import Signals, components, make_headline
from services.admin.dashboard.formatting import stage_name
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, render_toast
from services.admin.dashboard.timezone import ViewerZone

Loaded = TypeVar("Loaded")

router = APIRouter(prefix="/admin", route_class=PageRoute)
CHART_MAX_AGE_SECONDS: dict[Unit, float] = {"hour": 10, "day": 30}
STATUS_MAX_AGE_SECONDS = 2.0
RECENT_MAX_AGE_SECONDS = 10.0
SPAM_MAX_AGE_SECONDS = 60.0


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
        values = await _health_values(adapters, cache)
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


@router.get("/ui/overview/work")
async def queue_panel(
    request: Request, session: UnverifiedSession, adapters: CurrentAdapters, cache: CurrentCache
) -> Response:
    """Render failed deliveries, emails, data integrity, consumer lag and the queues of gateways and sites."""
    stats = await cache.get_or_load("queue", adapters.system.read_queue_stats, STATUS_MAX_AGE_SECONDS)
    return render(request, session, "overview/overview_queue.html", stats=stats)


@router.get("/ui/overview/parts")
async def health_panel(
    request: Request, session: UnverifiedSession, adapters: CurrentAdapters, cache: CurrentCache
) -> Response:
    """Render the headline and the state of each component."""
    return render(request, session, "overview/overview_health.html", **await _health_values(adapters, cache))


@router.post("/ui/stages/resume")
async def resume_stage(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    cache: CurrentCache,
    stage: Annotated[Stage, Form()],
) -> Response:
    """Close the circuit breaker of a stage, so that the stage resumes."""
    was_paused = await adapters.stages.resume(stage, session.actor)
    if not is_htmx(request):
        return redirect(request, "/admin")
    cache.invalidate("queue")
    message = f"{stage_name(stage)} resumed." if was_paused else f"{stage_name(stage)} was not paused."
    return render_toast(request, session, message)


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


async def _health_values(adapters: Adapters, cache: Cache) -> dict[str, Any]:
    health, stats, recent, jobs, spam = await asyncio.gather(
        cache.get_or_load("health", adapters.system.read_health, STATUS_MAX_AGE_SECONDS),
        cache.get_or_load("queue", adapters.system.read_queue_stats, STATUS_MAX_AGE_SECONDS),
        cache.get_or_load("recent", partial(_or_none, adapters.recent_outcomes), RECENT_MAX_AGE_SECONDS),
        cache.get_or_load("jobs", partial(_or_none, adapters.system.list_jobs), RECENT_MAX_AGE_SECONDS),
        cache.get_or_load("spam", partial(_or_none, adapters.risen_spam), SPAM_MAX_AGE_SECONDS),
    )
    headline = make_headline(Signals(health, stats, recent, jobs, spam))
    return {"stats": stats, "components": components(health), "headline": headline}


async def _or_none(load: Callable[[], Awaitable[Loaded]]) -> Loaded | None:
    """Return what `load` returns, or None if the database is unavailable."""
    try:
        return await load()
    except DependencyUnavailable:
        return None
