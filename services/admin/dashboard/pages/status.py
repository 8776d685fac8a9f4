"""The system status: a page for operators, with panels that load separately.

The page shows no lead, so it does not require the revocation check of the session. It opens even if the
database is unavailable.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from contracts.failures import Stage
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession, UnverifiedSession
from services.admin.dashboard.cache import Cache, CurrentCache
from services.admin.dashboard.disruptions.components import components
from services.admin.dashboard.disruptions.headline import make_headline
from services.admin.dashboard.headline import STATUS_MAX_AGE_SECONDS, read_destinations, read_signals
from services.admin.dashboard.labels import stage_name
from services.admin.dashboard.pages.incidents import incident_values
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, render_toast
from services.admin.texts import gettext, gettext_noop

router = APIRouter(prefix="/admin", route_class=PageRoute)


@router.get("/status")
async def show_status(
    request: Request,
    session: UnverifiedSession,
    adapters: CurrentAdapters,
    cache: CurrentCache,
    full: bool = False,
) -> Response:
    """Show the page without data. The browser then requests each panel.

    A browser without scripts requests `full`: the page with all panels.
    """
    values: dict[str, Any] = {}
    if full:
        values = await _health_values(request, cache) | await incident_values(adapters)
        values |= await _failed_deliveries(request, cache)
    return render(request, session, "status/status.html", full=full, **values)


@router.get("/ui/status/health")
async def health_panel(request: Request, session: UnverifiedSession, cache: CurrentCache) -> Response:
    """Render the headline, all disruptions and the state of each component."""
    values = await _health_values(request, cache)
    return render(request, session, "status/status_health.html", **values)


@router.get("/ui/status/queue")
async def queue_panel(
    request: Request, session: UnverifiedSession, adapters: CurrentAdapters, cache: CurrentCache
) -> Response:
    """Render failed deliveries, emails, data integrity, consumer lag, gateway queues and site queues."""
    stats = await cache.get_or_load("queue", adapters.system.read_queue_stats, STATUS_MAX_AGE_SECONDS)
    values = await _failed_deliveries(request, cache)
    return render(request, session, "status/status_queue.html", stats=stats, **values)


@router.get("/ui/status/count")
async def disruption_count(request: Request, session: UnverifiedSession) -> Response:
    """Render the number of disruptions. Open pages request it to update their navigation."""
    return render(request, session, "status/disruption_count.html")


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
        return redirect(request, "/admin/status")
    cache.invalidate("queue")
    text = gettext_noop("%(stage)s resumed.") if was_paused else gettext_noop("%(stage)s was not paused.")
    message = gettext(text, stage=stage_name(stage))
    return render_toast(request, session, message)


async def _failed_deliveries(request: Request, cache: Cache) -> dict[str, int]:
    """Return how many deliveries to destinations wait for a retry, and how many are dead."""
    destinations = await read_destinations(request.app, cache) or []
    return {
        "retrying": sum(each.retrying for each in destinations),
        "dead": sum(each.dead for each in destinations),
    }


async def _health_values(request: Request, cache: Cache) -> dict[str, Any]:
    signals = await read_signals(request.app, cache)
    return {
        "stats": signals.stats,
        "components": components(signals.health),
        "headline": make_headline(signals),
    }
