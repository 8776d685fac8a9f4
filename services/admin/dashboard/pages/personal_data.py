"""Deleting a person's data: what will go, the address typed to confirm it, and what went."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response

from services.admin.dashboard.auth import Given, Visit
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.rules.lead_rules import Unknown
from services.admin.schemas.personal_data import ErasedPerson, PersonRecords

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


@router.get("/{lead_id}/erase")
async def confirm_deletion(request: Request, lead_id: UUID, visitor: Visit, given: Given) -> Response:
    """List everything that will be deleted with this lead, and ask for confirmation."""
    page = await _page(lead_id, await _email_of(lead_id, given), given)
    return render(request, visitor, "delete_personal_data.html", typed="", mismatch=False, **page)


@router.post("/{lead_id}/erase")
async def delete_personal_data(
    request: Request, lead_id: UUID, visitor: Visit, given: Given, address: Annotated[str, Form()] = ""
) -> Response:
    """Delete all data of the lead's person if the address was typed; say what was deleted."""
    email = await _email_of(lead_id, given)
    if email and address.strip().lower() != email.lower():
        page = await _page(lead_id, email, given)
        return render(
            request, visitor, "delete_personal_data.html", status=422, typed=address, mismatch=True, **page
        )
    records, others = PersonRecords(), ErasedPerson(erased=[], records=[], failed={}, message="")
    if email:
        # First: once the lead itself is erased, nobody knows the address any more.
        records = await given.people.find_person(email)
        others = await given.people.erase_person(email, visitor.actor)
    erased = others.erased
    if lead_id not in {*others.failed, *(each.lead_id for each in erased)}:
        erased = [await given.people.erase(lead_id, visitor.actor), *erased]
    return render(
        request,
        visitor,
        "personal_data_deleted.html",
        lead_id=lead_id,
        erased=erased,
        records=others.records,
        failed=others.failed,
        known={each.lead_id: each for each in records.leads},
    )


async def _page(lead_id: UUID, email: str | None, given: Given) -> dict[str, Any]:
    records = await given.people.find_person(email) if email else PersonRecords()
    return {"lead_id": lead_id, "email": email, "leads": records.leads, "records": records.records}


async def _email_of(lead_id: UUID, given: Given) -> str | None:
    """Return the address of a lead, stored or waiting to be stored; None where its record names none.

    Raises `Unknown` where there is no such lead.
    """
    details = await given.store.get_lead(lead_id)
    if details.lead:
        return details.lead.email or None
    if parked := await given.people.read_parked(lead_id):
        return parked.email or None
    if not details.queue and not details.emails:
        raise Unknown("There is no lead with this id.")
    return None
