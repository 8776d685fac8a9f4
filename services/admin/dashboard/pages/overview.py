"""The overview: a page of panels, each asked for by itself, so that one part's silence hides no other."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from contracts.failures import Stage
from runtime.failures import DependencyUnavailable
from services.admin.adapters import Adapters
from services.admin.dashboard.auth import Given, Visit, VisitOverview
from services.admin.dashboard.cache import Kept
from services.admin.dashboard.charts import Chart, Unit, begin, draw
from services.admin.dashboard.disruptions import find_disruptions, parts_of
from services.admin.dashboard.formatting import stage_name
from services.admin.dashboard.rendering import PageRoute, as_changed, go_to, in_part, render
from services.admin.dashboard.timezone import Zone
from services.admin.monitoring.system_status import survey_health, survey_queue
from services.admin.store.recent_outcomes import RecentOutcomes

router = APIRouter(prefix="/admin", route_class=PageRoute)
CHART_SECONDS: dict[Unit, float] = {"hour": 10, "day": 30}
READING_SECONDS = 2.0
RECENT_SECONDS = 10.0


@router.get("")
async def show(request: Request, visitor: VisitOverview) -> Response:
    """Show the frame at once; the panels follow."""
    return render(request, visitor, "overview.html")


@router.get("/ui/overview/leads")
async def leads(request: Request, visitor: Visit, given: Given, zone: Zone, kept: Kept) -> Response:
    """Draw leads over time, by status and by service."""
    now = datetime.now(UTC)

    async def chart(unit: Unit) -> Chart:
        since = begin(unit, now, zone)
        count = partial(given.trends.count, unit, since, zone)
        # The window's beginning is in the key: at the full hour a new one is asked for.
        counts = await kept.ask(f"{unit} {zone.key} {since:%d%H%M}", count, CHART_SECONDS[unit])
        return draw(unit, counts, now, zone)

    shares = await kept.ask("shares", given.trends.shares, CHART_SECONDS["day"])
    charts = [("Last 24 hours", await chart("hour")), ("Last 30 days", await chart("day"))]
    return render(request, visitor, "overview_leads.html", charts=charts, shares=shares, zone=zone.key)


@router.get("/ui/overview/work")
async def work(request: Request, visitor: VisitOverview, given: Given, kept: Kept) -> Response:
    """Show what waits, the mails, the books, and how far consumers are behind."""
    stats = await kept.ask("queue", partial(survey_queue, given), READING_SECONDS)
    return render(request, visitor, "overview_queue.html", stats=stats)


@router.get("/ui/overview/parts")
async def parts(request: Request, visitor: VisitOverview, given: Given, kept: Kept) -> Response:
    """Show whether everything works, and what does not."""
    health, stats, recent = await asyncio.gather(
        kept.ask("health", partial(survey_health, given), READING_SECONDS),
        kept.ask("queue", partial(survey_queue, given), READING_SECONDS),
        kept.ask("recent", partial(_recent, given), RECENT_SECONDS),
    )
    return render(
        request,
        visitor,
        "overview_health.html",
        stats=stats,
        parts=parts_of(health),
        disruptions=find_disruptions(health, stats, recent),
    )


@router.post("/ui/stages/resume")
async def resume(
    request: Request, visitor: Visit, given: Given, kept: Kept, stage: Annotated[Stage, Form()]
) -> Response:
    """Close a stage's breaker."""
    was_paused = await given.store.resume(stage, visitor.actor)
    if not in_part(request):
        return go_to(request, "/admin")
    kept.forget("queue")
    said = f"{stage_name(stage)} resumed." if was_paused else f"{stage_name(stage)} was not paused."
    return as_changed(render(request, visitor, "_toast.html", said=said, tone="good"))


async def _recent(given: Adapters) -> RecentOutcomes | None:
    try:
        return await given.recent_outcomes()
    except DependencyUnavailable:
        return None
