"""Deleting a person's data: what will go, the address typed to confirm it, what went, and what did not."""

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


class Deletion(BaseModel):
    """What the forms send. `failed_ids` repeats a deletion: the leads and queue rows that failed."""

    address: str = ""
    lead_ids: list[UUID] = Field(default_factory=list, max_length=LISTED_MAX)
    failed_ids: list[UUID] = Field(default_factory=list, max_length=LISTED_MAX)


@router.get("/{lead_id}/erase")
async def confirm_deletion(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """List everything that can be deleted with this lead, and ask for confirmation."""
    page = await _page(lead_id, await _email_of(lead_id, adapters), adapters)
    return render(request, session, "delete_personal_data.html", typed="", mismatch=False, **page)


@router.post("/{lead_id}/erase")
async def delete_personal_data(
    request: Request,
    lead_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    asked: Annotated[Deletion, Form()],
) -> Response:
    """Delete this lead, the selected leads and the address's queue records; say what was deleted.

    The first deletion needs the typed address. A retry sends the address, because the lead may not have it
    any more. Both delete only what the address finds, and the lead of the page.
    """
    email, typed = await _email_of(lead_id, adapters), asked.address.strip()
    matches = not email or typed.lower() == email.lower()
    if asked.failed_ids:
        is_own = matches and lead_id in asked.failed_ids
        chosen = frozenset(asked.failed_ids)
        only = Selection(leads=chosen, records=chosen, own_lead=lead_id if is_own else None)
        email = typed
    else:
        if not matches:
            page = await _page(lead_id, email, adapters, asked.lead_ids)
            return render(
                request, session, "delete_personal_data.html", status=422, typed=typed, mismatch=True, **page
            )
        only = Selection(leads=frozenset(asked.lead_ids), own_lead=lead_id)
    # Before the deletion: once the leads are erased, nobody knows the address any more.
    before = await adapters.erasures.find_person(email) if email else PersonRecords()
    done = await adapters.erasures.erase_person(email, session.actor, only)
    return render(
        request,
        session,
        "personal_data_deleted.html",
        lead_id=lead_id,
        email=email or "",
        is_retry=bool(asked.failed_ids),
        **_outcome(lead_id, only.leads, before, done),
    )


def _outcome(
    lead_id: UUID, wanted: Collection[UUID], before: PersonRecords, done: ErasedPerson
) -> dict[str, Any]:
    """Return what was deleted, what failed, what was not selected, and how many ids were not found."""
    known = {lead.lead_id: lead for lead in before.leads}
    erased = {each.lead_id for each in done.erased}
    others = [lead for lead in before.leads if lead.lead_id not in {*wanted, *erased, *done.failed}]
    return {
        "erased": done.erased,
        "records": done.records,
        "failed": [
            {"id": failed, "lead": known.get(failed), "is_lead": failed in {*known, lead_id}, "reason": why}
            for failed, why in done.failed.items()
        ],
        "kept": others[:LISTED_MAX],
        "kept_count": len(others),
        "not_found": len({*wanted} - {*erased, *done.records, *done.failed}),
        "known": known,
        "listed_max": LISTED_MAX,
    }


async def _page(
    lead_id: UUID, email: str | None, adapters: CurrentAdapters, selected: Collection[UUID] | None = None
) -> dict[str, Any]:
    """Return what the confirmation shows. By default the leads that have the address now are selected."""
    found = await adapters.erasures.find_person(email) if email else PersonRecords()
    leads = sorted(found.leads, key=lambda lead: lead.lead_id != lead_id)[:LISTED_MAX]
    if selected is None:
        selected = [lead.lead_id for lead in leads if email and has_address(lead, email)]
    return {
        "lead_id": lead_id,
        "email": email,
        "leads": leads,
        "selected": {lead_id, *selected},
        "others": {lead.lead_id for lead in leads if email and not has_address(lead, email)},
        "not_listed": len(found.leads) - len(leads),
        "records": found.records,
    }


async def _email_of(lead_id: UUID, adapters: CurrentAdapters) -> str | None:
    """Return the address of a lead, stored or waiting to be stored; None where its record names none.

    Raises `NotFoundError` where there is no such lead.
    """
    details = await adapters.leads.get_lead(lead_id)
    if details.lead:
        return details.lead.email or None
    if parked := await adapters.personal_data.read_parked(lead_id):
        return parked.email or None
    if not details.queue and not details.emails:
        raise NotFoundError("There is no lead with this id.")
    return None
