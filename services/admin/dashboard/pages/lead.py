"""One lead: everything that is known of it, and what can be done with it."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response

from contracts.leads import LeadStatus
from services.admin.dashboard.auth import Given, Visit
from services.admin.dashboard.fields import Maybe
from services.admin.dashboard.formatting import state_name
from services.admin.dashboard.rendering import PageRoute, as_changed, go_to, in_part, render
from services.admin.rules.lead_rules import Refused, undo_status
from services.admin.schemas.filters import SettableStatus
from services.admin.schemas.leads import StatusChanged

router = APIRouter(prefix="/admin/ui/leads/{lead_id}", route_class=PageRoute)


@router.get("")
async def show(request: Request, lead_id: UUID, visitor: Visit, given: Given) -> Response:
    """Show a lead; what changes by itself is asked for anew by the page."""
    found = await given.store.get_lead(lead_id)
    parked = None if found.lead else await given.people.read_parked(lead_id)
    return render(request, visitor, "lead.html", lead_id=lead_id, found=found, lead=found.lead, parked=parked)


@router.post("/status")
async def change_status(
    request: Request,
    lead_id: UUID,
    visitor: Visit,
    given: Given,
    status: Annotated[SettableStatus, Form()],
    expected: Annotated[LeadStatus | None, Form()] = None,
    seen: Annotated[Maybe[datetime], Form()] = None,
    confirmed: Annotated[bool, Form()] = False,
) -> Response:
    """Set the status where the lead still has the one that the visitor saw. Releasing spam is confirmed."""
    if status == LeadStatus.RECEIVED and not confirmed:
        current = (await given.store.get_lead(lead_id)).lead
        if current and current.status == LeadStatus.SPAM:
            template = "release_dialog.html" if in_part(request) else "release.html"
            return render(request, visitor, template, lead_id=lead_id, seen=seen)
    said, tone, code, undo = "", "good", 200, None
    try:
        done = await given.store.change_status(lead_id, status, expected, visitor.actor)
        said = status_changed(done)
        undo = undo_status(done.previous_status, LeadStatus(done.lead.status))
        if seen == done.previous_updated_at:
            # Nobody else was at it: the form beside goes by what is there now.
            seen = done.lead.updated_at
    except Refused as refused:
        if not in_part(request):
            raise
        said, tone, code = str(refused), "bad", 409
    if not in_part(request):
        return go_to(request, f"/admin/ui/leads/{lead_id}")
    lead = (await given.store.get_lead(lead_id)).lead
    return as_changed(
        render(request, visitor, "status.html", code, lead=lead, seen=seen, said=said, tone=tone, undo=undo)
    )


def status_changed(done: StatusChanged) -> str:
    """Say what a change of status did."""
    if not done.changed:
        return f"The status was already {state_name(done.lead.status)}."
    sending = " Sending the confirmation and the notification." if done.mails_requested else ""
    return f"Status changed to {state_name(done.lead.status)}.{sending}"


@router.post("/emails/{kind}/resend")
async def resend(
    request: Request, lead_id: UUID, kind: Literal["welcome", "admin_alert"], visitor: Visit, given: Given
) -> Response:
    """Have a mail tried again."""
    done = await given.store.resend(lead_id, kind, visitor.actor)
    if not in_part(request):
        return go_to(request, f"/admin/ui/leads/{lead_id}")
    return as_changed(render(request, visitor, "_toast.html", said=done.message, tone="good"))
