"""The data of one person: edit, export and erase it."""

from uuid import UUID

from fastapi import APIRouter, Response

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.lead_edits import Edited, LeadEdit
from services.admin.schemas.personal_data import Erased, ErasedPerson, ErasePerson, PersonData, PersonRecords

router = APIRouter(tags=["people"])


@router.get("/leads/{lead_id}/export", summary="A person's data", responses=documented(404))
async def export_person(
    lead_id: UUID, response: Response, adapters: CurrentAdapters, actor: Actor
) -> PersonData:
    """Return everything that is stored about a lead, and the ids of the person's other leads.

    The export is audited.
    """
    response.headers["Content-Disposition"] = f'attachment; filename="lead-{lead_id}.json"'
    return await adapters.personal_data.export_person(lead_id, actor)


@router.patch("/leads/{lead_id}", summary="Edit a lead", responses=documented(404, 409))
async def edit_lead(lead_id: UUID, edit: LeadEdit, adapters: CurrentAdapters, actor: Actor) -> Edited:
    """Change a lead's fields. The visitor's original values stay stored; later emails use the new values."""
    return await adapters.personal_data.edit(lead_id, edit, actor)


@router.post("/leads/person", summary="Find a person's leads")
async def find_person(person: ErasePerson, adapters: CurrentAdapters) -> PersonRecords:
    """Return the leads and queue rows that an erasure of this person would erase.

    The request is a POST, so that no URL contains personal data.
    """
    return await adapters.erasures.find_person(person.email, person.phone)


@router.post("/leads/erase", summary="Erase a person")
async def erase_person(person: ErasePerson, adapters: CurrentAdapters, actor: Actor) -> ErasedPerson:
    """Erase all data of the person with a given email address or phone number.

    The address is looked up in the tables of leads, emails and queued records. The phone number is looked up
    only in the table of leads. Returns what was erased and what failed.
    """
    return await adapters.erasures.erase_person(person.email, actor, phone=person.phone)


@router.delete("/leads/{lead_id}", summary="Erase a lead", responses=documented(404))
async def erase_lead(lead_id: UUID, adapters: CurrentAdapters, actor: Actor) -> Erased:
    """Erase a lead's personal data wherever it is stored.

    Keeps the lead's row without this data. Also keeps the lead's audit entries.
    """
    return await adapters.erasures.erase_lead(lead_id, actor)
