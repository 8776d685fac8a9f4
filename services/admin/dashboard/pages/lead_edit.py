"""Editing a lead: the visitor's fields on a separate page, and the assignee on the lead's page.

The lead's field `notes` (a text without author or time) is shown only if it is not empty.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.auth.session import Session
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.error_texts import edit_errors
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, trigger_refresh
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.schemas.lead_edits import ADMIN_FIELDS, VISITOR_FIELDS, LeadEdit, QueuedLead
from services.admin.schemas.leads import Lead
from services.admin.texts import gettext

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


@router.get("/{lead_id}/edit")
async def show_edit_form(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Show the form with the visitor's fields. Raises `NotFoundError` if the lead cannot be read."""
    lead = await _read_lead(lead_id, adapters)
    return _render_edit(request, session, "leads/edit.html", lead, lead.model_dump(), lead.updated_at)


@router.post("/{lead_id}/edit")
async def edit_lead(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Save the submitted fields. An empty text clears an optional field.

    After saving the visitor's fields, redirect to the lead's page. After saving the assignee with htmx,
    return its form again, with a message. If the fields are not saved, return the form with an error at each
    invalid field.
    """
    form = await request.form()
    # Save only the submitted fields: a form must not clear fields that it does not show.
    names = [name for name in (*VISITOR_FIELDS, *ADMIN_FIELDS, "expected_updated_at") if name in form]
    is_follow_up = not set(VISITOR_FIELDS) & set(names)
    # Browsers submit CRLF line ends, even if the stored text has LF.
    fields = {name: str(form[name]).replace("\r\n", "\n") for name in names}
    fragment = "leads/follow_up_saved.html" if is_follow_up else "leads/edit_form.html"
    try:
        edit = LeadEdit.model_validate(fields)
        edited = await adapters.personal_data.edit(lead_id, edit, session.actor)
    except (ValidationError, ConflictError) as error:
        if is_follow_up and not is_htmx(request):
            if isinstance(error, ConflictError):
                raise
            raise RequestValidationError(error.errors()) from error
        status, errors = _errors_by_field(error, fields)
        template = fragment if is_htmx(request) else "leads/edit.html"
        lead = await _read_lead(lead_id, adapters)
        version = fields.get("expected_updated_at", "")
        values = lead.model_dump() | fields
        return _render_edit(request, session, template, lead, values, version, status, errors)
    if not (is_follow_up and is_htmx(request)):
        return redirect(request, f"/admin/ui/leads/{lead_id}?saved=1")
    lead = edited.lead or await _read_lead(lead_id, adapters)
    return trigger_refresh(_render_edit(request, session, fragment, lead, lead.model_dump(), lead.updated_at))


async def _read_lead(lead_id: UUID, adapters: Adapters) -> Lead | QueuedLead:
    lead = (await adapters.leads.get_lead(lead_id)).lead or await adapters.personal_data.read_queued_lead(
        lead_id
    )
    if lead is None:
        raise NotFoundError(gettext("This lead is not stored yet, and its record cannot be edited."))
    return lead


def _errors_by_field(
    error: ValidationError | ConflictError, fields: Mapping[str, str]
) -> tuple[int, dict[str, str]]:
    """Return the HTTP status and the error message of each field. The key "" is for the form as a whole."""
    if isinstance(error, ConflictError):
        is_cleared_address = not fields.get("email", "-").strip()
        return 409, {"email" if is_cleared_address else "": str(error)}
    errors = edit_errors(error)
    shown: dict[str, str] = {
        name: errors[name] for name in (*VISITOR_FIELDS, *ADMIN_FIELDS) if name in errors
    }
    return 422, shown or {"": gettext("The form is not complete. Reload the page and try again.")}


def _render_edit(
    request: Request,
    session: Session,
    template: str,
    lead: Lead | QueuedLead,
    values: Mapping[str, Any],
    version: object,
    status: int = 200,
    errors: Mapping[str, str] | None = None,
) -> Response:
    """Render a form with `values`, or a page with that form.

    `version` is the lead's `updated_at` when the form was first shown.
    """
    return render(
        request,
        session,
        template,
        status,
        lead=lead,
        lead_id=lead.id,
        values=values,
        shown_updated_at=version,
        errors=errors or {},
        fields=(*VISITOR_FIELDS, "notes") if values.get("notes") else VISITOR_FIELDS,
        required={"email"} if lead.email else set[str](),
    )
