"""One lead: its fields, timeline and emails, and the actions on them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response

from contracts.leads import LeadStatus
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.formatting import kind_name, state_name
from services.admin.dashboard.rendering import (
    PageRoute,
    is_htmx,
    redirect,
    render,
    render_toast,
    trigger_refresh,
)
from services.admin.rules.errors import ConflictError
from services.admin.rules.lead_rules import undo_status
from services.admin.schemas.filters import SettableStatus
from services.admin.schemas.leads import StatusChanged

router = APIRouter(prefix="/admin/ui/leads/{lead_id}", route_class=PageRoute)


@router.get("")
async def show_lead(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Show a lead. The page requests its timeline and emails again at intervals."""
    details = await adapters.leads.get_lead(lead_id)
    parked = None if details.lead else await adapters.personal_data.read_parked(lead_id)
    return render(
        request,
        session,
        "leads/lead.html",
        lead_id=lead_id,
        details=details,
        lead=details.lead,
        parked=parked,
        values=details.lead,
        errors={},
        shown_updated_at=details.lead.updated_at if details.lead else None,
    )


@router.post("/status")
async def change_status(
    request: Request,
    lead_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    status: Annotated[SettableStatus, Form()],
    expected: Annotated[LeadStatus | None, Form()] = None,
    shown_updated_at: Annotated[BlankAsNone[datetime], Form(alias="seen")] = None,
    confirmed: Annotated[bool, Form()] = False,
) -> Response:
    """Set the status if the lead still has the expected one. Releasing a lead from spam needs `confirmed`.

    `shown_updated_at` is the `updated_at` in the page's form for assignee and notes. If nothing but this
    status has changed since then, the form gets the new `updated_at`. So the form can still be saved.
    """
    if status == LeadStatus.RECEIVED and not confirmed:
        current = (await adapters.leads.get_lead(lead_id)).lead
        if current and current.status == LeadStatus.SPAM:
            template = "leads/release_dialog.html" if is_htmx(request) else "leads/release.html"
            return render(request, session, template, lead_id=lead_id, shown_updated_at=shown_updated_at)
    message, style, http_status, undo = "", "good", 200, None
    try:
        change = await adapters.leads.change_status(lead_id, status, expected, session.actor)
        message = status_message(change)
        undo = undo_status(change.previous_status, LeadStatus(change.lead.status))
        if shown_updated_at == change.previous_updated_at:
            shown_updated_at = change.lead.updated_at
    except ConflictError as refused:
        if not is_htmx(request):
            raise
        message, style, http_status = str(refused), "bad", 409
    if not is_htmx(request):
        return redirect(request, f"/admin/ui/leads/{lead_id}")
    lead = (await adapters.leads.get_lead(lead_id)).lead
    return trigger_refresh(
        render(
            request,
            session,
            "leads/status.html",
            http_status,
            lead=lead,
            shown_updated_at=shown_updated_at,
            message=message,
            style=style,
            undo=undo,
        )
    )


def status_message(change: StatusChanged) -> str:
    """Return the message that confirms a change of status."""
    if not change.changed:
        return f"The status was already {state_name(change.lead.status)}."
    sending = " Sending the confirmation and the notification." if change.mails_requested else ""
    return f"Status changed to {state_name(change.lead.status)}.{sending}"


@router.post("/emails/{kind}/resend")
async def resend_email(
    request: Request,
    lead_id: UUID,
    kind: Literal["welcome", "admin_alert"],
    session: CurrentSession,
    adapters: CurrentAdapters,
) -> Response:
    """Send an email of the lead again."""
    await adapters.leads.resend_email(lead_id, kind, session.actor)
    if not is_htmx(request):
        return redirect(request, f"/admin/ui/leads/{lead_id}")
    return render_toast(request, session, f"Sending the {kind_name(kind).lower()} again.")
