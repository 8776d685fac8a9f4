"""Editing a lead: the visitor's fields on a page of their own, assignee and notes on the lead's page."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, trigger_refresh
from services.admin.rules.errors import NotFoundError
from services.admin.schemas.lead_edits import ADMIN_FIELDS, VISITOR_FIELDS, LeadEdit

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


@router.get("/{lead_id}/edit")
async def show_edit_form(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Show the form with the visitor's fields. Raises `NotFoundError` if these cannot be read."""
    lead = (await adapters.leads.get_lead(lead_id)).lead or await adapters.personal_data.read_parked(lead_id)
    if lead is None:
        raise NotFoundError("This lead is not stored yet, and its record cannot be edited.")
    return render(request, session, "leads/edit.html", lead=lead, fields=VISITOR_FIELDS)


@router.post("/{lead_id}/edit")
async def edit_lead(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Save the submitted fields. An empty text clears an optional field.

    An admin who saves only assignee and notes stays on the lead's page and can save them again.
    """
    form = await request.form()
    # Save only the submitted fields: a form must not clear fields that it does not show.
    names = [name for name in (*VISITOR_FIELDS, *ADMIN_FIELDS, "expected_updated_at") if name in form]
    try:
        # Browsers submit CRLF line ends, even if the stored text has LF.
        fields = {name: str(form[name]).replace("\r\n", "\n") for name in names}
        edit = LeadEdit.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    edited = await adapters.personal_data.edit(lead_id, edit, session.actor)
    if is_htmx(request) and not set(VISITOR_FIELDS) & set(names):
        return trigger_refresh(
            render(
                request,
                session,
                "leads/follow_up_saved.html",
                updated_at=edited.updated_at,
                message="Assignee and notes saved.",
                style="good",
            )
        )
    return redirect(request, f"/admin/ui/leads/{lead_id}")
