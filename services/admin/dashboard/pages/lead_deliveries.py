"""The button that resends one of a lead's deliveries."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Path, Request, Response

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, render_toast
from services.admin.rules.errors import NotFoundError
from services.admin.store.deliveries.destinations import kinds_of
from services.admin.texts import gettext

router = APIRouter(
    prefix="/admin/ui/leads/{lead_id}/deliveries/{event_id}/{destination}", route_class=PageRoute
)


@router.post("/resend")
async def resend_delivery(
    request: Request,
    lead_id: UUID,
    event_id: UUID,
    destination: Annotated[str, Path(max_length=50)],
    session: CurrentSession,
    adapters: CurrentAdapters,
    *,
    confirmed: Annotated[bool, Form()] = False,
) -> Response:
    """Send one delivery again. Asks for confirmation first if it has already arrived."""
    kinds = kinds_of(request.app.state.sites)
    if not confirmed and await _has_arrived(lead_id, event_id, destination, adapters):
        template = "leads/resend_dialog.html" if is_htmx(request) else "leads/resend.html"
        return render(
            request, session, template, lead_id=lead_id, name=destination, kind=kinds.get(destination)
        )
    await adapters.destinations.resend(
        lead_id, event_id, destination, kinds, session.actor, if_delivered=confirmed
    )
    if not is_htmx(request):
        return redirect(request, f"/admin/ui/leads/{lead_id}#deliveries")
    return render_toast(
        request, session, gettext("Sending it to %(destination)s again.", destination=destination)
    )


async def _has_arrived(lead_id: UUID, event_id: UUID, destination: str, adapters: CurrentAdapters) -> bool:
    """Return True if the destination has accepted the delivery. Raises `NotFoundError` if there is none."""
    found = await adapters.destinations.list_lead_deliveries(lead_id)
    for each in found.deliveries:
        if (each.event_id, each.destination) == (event_id, destination):
            return each.state == "delivered"
    raise NotFoundError(gettext("The lead has no such delivery."))
