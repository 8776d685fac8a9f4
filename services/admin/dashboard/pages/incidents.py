"""The panel of incidents on the system status, and its buttons."""

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from runtime.failures import DependencyUnavailable
from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.dashboard.auth import CurrentSession, UnverifiedSession
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, render_toast
from services.admin.schemas.incidents import IncidentFilter
from services.admin.texts import gettext

STATUS: Final = "/admin/status"
router = APIRouter(prefix="/admin/ui/incidents", route_class=PageRoute)
RESOLVED_SHOWN: Final = 20


@router.get("")
async def incidents_panel(
    request: Request, session: UnverifiedSession, adapters: CurrentAdapters
) -> Response:
    """Render the open incidents and the last resolved ones."""
    return render(request, session, "status/incidents.html", **await incident_values(adapters))


@router.post("/{incident_id}/acknowledge")
async def acknowledge_incident(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, incident_id: UUID
) -> Response:
    """Make the admin the owner of an incident."""
    incident = await adapters.incidents.acknowledge(incident_id, session.actor, session.actor)
    if not is_htmx(request):
        return redirect(request, STATUS)
    return render_toast(
        request,
        session,
        gettext("You take care of the incident: %(component)s.", component=incident.component),
    )


@router.post("/{incident_id}/resolve")
async def resolve_incident(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, incident_id: UUID
) -> Response:
    """Resolve an incident."""
    incident = await adapters.incidents.resolve(incident_id, session.actor)
    if not is_htmx(request):
        return redirect(request, STATUS)
    return render_toast(
        request, session, gettext("Incident resolved: %(component)s.", component=incident.component)
    )


async def incident_values(adapters: Adapters) -> dict[str, Any]:
    """Return the values for the panel's template. `open_incidents` is None if the database is unavailable."""
    try:
        opened = await adapters.incidents.list_incidents(IncidentFilter(state="open"))
        resolved = await adapters.incidents.list_incidents(
            IncidentFilter(state="resolved", limit=RESOLVED_SHOWN)
        )
    except DependencyUnavailable:
        return {"open_incidents": None, "resolved_incidents": []}
    return {"open_incidents": opened.incidents, "resolved_incidents": resolved.incidents}
