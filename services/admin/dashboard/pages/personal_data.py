"""Deleting a person's data: what will go, the address typed to confirm it, and what went."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.rules.errors import NotFoundError
from services.admin.schemas.personal_data import ErasedPerson, PersonRecords

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


@router.get("/{lead_id}/erase")
async def confirm_deletion(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """List everything that will be deleted with this lead, and ask for confirmation."""
    page = await _page(lead_id, await _email_of(lead_id, adapters), adapters)
    return render(request, session, "delete_personal_data.html", typed="", mismatch=False, **page)


@router.post("/{lead_id}/erase")
async def delete_personal_data(
    request: Request,
    lead_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    address: Annotated[str, Form()] = "",
) -> Response:
    """Delete all data of the lead's person if the address was typed; say what was deleted."""
    email = await _email_of(lead_id, adapters)
    if email and address.strip().lower() != email.lower():
        page = await _page(lead_id, email, adapters)
        return render(
            request, session, "delete_personal_data.html", status=422, typed=address, mismatch=True, **page
        )
    records, others = PersonRecords(), ErasedPerson(erased=[], records=[], failed={}, message="")
    if email:
        # First: once the lead itself is erased, nobody knows the address any more.
        records = await adapters.personal_data.find_person(email)
        others = await adapters.personal_data.erase_person(email, session.actor)
    erased = others.erased
    if lead_id not in {*others.failed, *(each.lead_id for each in erased)}:
        erased = [await adapters.personal_data.erase(lead_id, session.actor), *erased]
    return render(
        request,
        session,
        "personal_data_deleted.html",
        lead_id=lead_id,
        erased=erased,
        records=others.records,
        failed=others.failed,
        known={each.lead_id: each for each in records.leads},
    )


async def _page(lead_id: UUID, email: str | None, adapters: CurrentAdapters) -> dict[str, Any]:
    records = await adapters.personal_data.find_person(email) if email else PersonRecords()
    return {"lead_id": lead_id, "email": email, "leads": records.leads, "records": records.records}


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
