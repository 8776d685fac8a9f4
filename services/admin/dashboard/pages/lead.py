"""One lead: its fields, timeline and emails, and the actions on them."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.leads import LeadStatus
from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.disruptions.destinations import destination_url
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.labels import state_name
from services.admin.dashboard.rendering import (
    PageRoute,
    is_htmx,
    redirect,
    render,
    render_toast,
    trigger_refresh,
)
from services.admin.rules.activity import build_activity
from services.admin.rules.contact_links import contact_links
from services.admin.rules.destinations import erasure_notices, newest_events_first
from services.admin.rules.errors import ConflictError
from services.admin.rules.lead_rules import EMAIL_NAMES, mails_text, undo_status
from services.admin.rules.note_rules import may_change
from services.admin.schemas.filters import SettableStatus
from services.admin.schemas.lead_edits import QueuedLead
from services.admin.schemas.leads import Lead, StatusChanged
from services.admin.schemas.personal_data import PersonLead
from services.admin.texts import gettext

OTHERS_MAX: Final = 20
router = APIRouter(prefix="/admin/ui/leads/{lead_id}", route_class=PageRoute)


@router.get("")
async def show_lead(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Show a lead. The page reloads the lead's timeline and emails at intervals.

    With the query parameter `saved`, the page says that the lead was saved.
    """
    details = await adapters.leads.get_lead(lead_id)
    queued = None if details.lead else await adapters.personal_data.read_queued_lead(lead_id)
    submission = details.lead or queued
    found = await adapters.destinations.list_lead_deliveries(lead_id)
    # A poll takes only the activity and the deliveries from the page.
    others = [] if is_htmx(request) else await _other_requests(submission, adapters)
    return render(
        request,
        session,
        "leads/lead.html",
        lead_id=lead_id,
        details=details,
        lead=details.lead,
        submission=submission,
        contact=contact_links(submission, request.app.state.sites) if submission else None,
        activity=build_activity(details),
        deliveries=newest_events_first(found.deliveries),
        notices=erasure_notices(found.deliveries),
        destinations=request.app.state.sites.destinations,
        destination_url=destination_url,
        may_change=may_change,
        note_text="",
        note_error="",
        others=others[:OTHERS_MAX],
        has_more_others=len(others) > OTHERS_MAX,
        values=details.lead,
        errors={},
        shown_updated_at=details.lead.updated_at if details.lead else None,
        is_saved="saved" in request.query_params,
    )


async def _other_requests(lead: Lead | QueuedLead | None, adapters: Adapters) -> list[PersonLead]:
    """Return the newest leads that have the same address or phone, without this lead itself.

    At most `OTHERS_MAX` + 2 leads are returned. If there are more than `OTHERS_MAX`, the page says so.
    """
    if lead is None or not (lead.email or lead.phone):
        return []
    person = await adapters.erasures.find_person(lead.email, lead.phone, limit=OTHERS_MAX + 2)
    return [each for each in person.leads if each.lead_id != lead.id]


class StatusForm(BaseModel):
    """A form that sets the status of a lead if it still has the `expected` status.

    `confirmed` is required to release a lead from spam or hold. The undo button sends `undoes`, which is the
    lead's `updated_at` after the change that it undoes. If the lead was changed again since, nothing is
    undone.

    `shown_updated_at` is for another form on the lead's page, which sets the assignee and checks
    `updated_at`. A change of the status would make that check fail. So if `shown_updated_at` was current
    before the change, the response contains the new value for the other form.
    """

    model_config = ConfigDict(frozen=True)

    status: SettableStatus
    expected: LeadStatus | None = None
    shown_updated_at: BlankAsNone[datetime] = Field(default=None, alias="seen")
    confirmed: bool = False
    undoes: BlankAsNone[datetime] = None


@router.post("/status")
async def change_status(
    request: Request,
    lead_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    form: Annotated[StatusForm, Form()],
) -> Response:
    """Set the status of a lead.

    With htmx, the response replaces the status form and offers to undo the change.
    """
    shown_updated_at = form.shown_updated_at
    if form.status == LeadStatus.RECEIVED and not form.confirmed:
        current = (await adapters.leads.get_lead(lead_id)).lead
        if current and current.status in (LeadStatus.SPAM, LeadStatus.HELD):
            template = "leads/release_dialog.html" if is_htmx(request) else "leads/release.html"
            return render(
                request,
                session,
                template,
                lead_id=lead_id,
                lead_status=current.status,
                shown_updated_at=shown_updated_at,
            )
    message, style, http_status, undo, changed_at = "", "good", 200, None, None
    try:
        change = await adapters.leads.change_status(
            lead_id, form.status, form.expected, session.actor, unchanged_since=form.undoes
        )
        message, changed_at = status_message(change), change.lead.updated_at
        undo = undo_status(change.previous_status, LeadStatus(change.lead.status))
        if shown_updated_at == change.previous_updated_at:
            shown_updated_at = changed_at
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
            undoes=changed_at,
        )
    )


def status_message(change: StatusChanged) -> str:
    """Return the message that confirms a change of status."""
    if not change.changed:
        return gettext("The status was already %(status)s.", status=state_name(change.lead.status))
    if not change.mails_requested:
        return gettext("Status changed to %(status)s.", status=state_name(change.lead.status))
    return gettext(
        "Status changed to %(status)s. Sending %(emails)s.",
        status=state_name(change.lead.status),
        emails=mails_text(change.mails_requested),
    )


@router.post("/emails/{kind}/resend")
async def resend_email(
    request: Request,
    lead_id: UUID,
    kind: Literal["welcome", "admin_alert"],
    session: CurrentSession,
    adapters: CurrentAdapters,
) -> Response:
    """Resend one email of the lead."""
    await adapters.leads.resend_email(lead_id, kind, session.actor)
    if not is_htmx(request):
        return redirect(request, f"/admin/ui/leads/{lead_id}")
    return render_toast(
        request, session, gettext("Sending %(email)s again.", email=gettext(EMAIL_NAMES[kind]))
    )
