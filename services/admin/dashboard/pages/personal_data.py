"""Deletion of personal data: the confirmation page, and the page that reports what was deleted."""

from collections.abc import Collection
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel, Field

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.rules.errors import NotFoundError
from services.admin.rules.personal_data import Selection, has_address
from services.admin.schemas.personal_data import LISTED_MAX, ErasedPerson, PersonRecords

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


class DeletionForm(BaseModel):
    """The form of the confirmation page and of the result page.

    `lead_ids` are the selected leads. `failed_ids`, set only in a retry, are the leads and queue rows whose
    deletion failed.
    """

    address: str = ""
    lead_ids: list[UUID] = Field(default_factory=list, max_length=LISTED_MAX)
    failed_ids: list[UUID] = Field(default_factory=list, max_length=LISTED_MAX)


@router.get("/{lead_id}/erase")
async def confirm_deletion(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """List all data that can be deleted with this lead, and ask for confirmation."""
    page = await _confirmation_values(lead_id, await _find_email(lead_id, adapters), adapters)
    return render(
        request, session, "personal_data/delete_personal_data.html", typed="", mismatch=False, **page
    )


@router.post("/{lead_id}/erase")
async def delete_personal_data(
    request: Request,
    lead_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    form: Annotated[DeletionForm, Form()],
) -> Response:
    """Delete this lead, the selected leads and the queue rows of the address, and report the result.

    In the first request, the admin types the address. In a retry, the form already contains the address,
    because the lead may be erased. Both requests delete only this lead and data that contains the address.
    """
    email, typed = await _find_email(lead_id, adapters), form.address.strip()
    matches = not email or typed.lower() == email.lower()
    if form.failed_ids:
        is_own = matches and lead_id in form.failed_ids
        failed_ids = frozenset(form.failed_ids)
        only = Selection(leads=failed_ids, records=failed_ids, own_lead=lead_id if is_own else None)
        email = typed
    else:
        if not matches:
            page = await _confirmation_values(lead_id, email, adapters, form.lead_ids)
            return render(
                request,
                session,
                "personal_data/delete_personal_data.html",
                status=422,
                typed=typed,
                mismatch=True,
                **page,
            )
        only = Selection(leads=frozenset(form.lead_ids), own_lead=lead_id)
    # Read first: erased leads no longer have the address.
    before = await adapters.erasures.find_person(email) if email else PersonRecords()
    done = await adapters.erasures.erase_person(email, session.actor, only)
    return render(
        request,
        session,
        "personal_data/personal_data_deleted.html",
        lead_id=lead_id,
        email=email or "",
        is_retry=bool(form.failed_ids),
        **_outcome(lead_id, only.leads, before, done),
    )


def _outcome(
    lead_id: UUID, selected: Collection[UUID], before: PersonRecords, done: ErasedPerson
) -> dict[str, Any]:
    """Return the values for the result page's template.

    `before` has the leads of the address before the deletion, and `done` is the deletion's result.
    """
    leads_by_id = {lead.lead_id: lead for lead in before.leads}
    erased = {each.lead_id for each in done.erased}
    unselected = [lead for lead in before.leads if lead.lead_id not in {*selected, *erased, *done.failed}]
    return {
        "erased": done.erased,
        "records": done.records,
        "failed": [
            {
                "id": failed_id,
                "lead": leads_by_id.get(failed_id),
                "is_lead": failed_id in {*leads_by_id, lead_id},
                "reason": reason,
            }
            for failed_id, reason in done.failed.items()
        ],
        "unselected": unselected[:LISTED_MAX],
        "unselected_count": len(unselected),
        "not_found": len({*selected} - {*erased, *done.records, *done.failed}),
        "leads_by_id": leads_by_id,
        "listed_max": LISTED_MAX,
    }


async def _confirmation_values(
    lead_id: UUID, email: str | None, adapters: CurrentAdapters, selected: Collection[UUID] | None = None
) -> dict[str, Any]:
    """Return the values for the confirmation page's template.

    Without `selected`, all leads that still have the address are selected.
    """
    records = await adapters.erasures.find_person(email) if email else PersonRecords()
    leads = sorted(records.leads, key=lambda lead: lead.lead_id != lead_id)[:LISTED_MAX]
    if selected is None:
        selected = [lead.lead_id for lead in leads if email and has_address(lead, email)]
    return {
        "lead_id": lead_id,
        "email": email,
        "leads": leads,
        "selected": {lead_id, *selected},
        "others": {lead.lead_id for lead in leads if email and not has_address(lead, email)},
        "not_listed": len(records.leads) - len(leads),
        "records": records.records,
    }


async def _find_email(lead_id: UUID, adapters: CurrentAdapters) -> str | None:
    """Return a lead's email address; None if the lead has none.

    If the lead is not stored, the address comes from the lead's queued record.
    Raises `NotFoundError` if the lead does not exist.
    """
    details = await adapters.leads.get_lead(lead_id)
    if details.lead:
        return details.lead.email or None
    if parked := await adapters.personal_data.read_parked(lead_id):
        return parked.email or None
    if not details.queue and not details.emails:
        raise NotFoundError("There is no lead with this id.")
    return None
