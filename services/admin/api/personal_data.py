"""People: edit what they sent, hand it out, erase it."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from services.admin.api.dependencies import Actor, Given
from services.admin.api.problems import documented
from services.admin.schemas.filters import ExportFilter
from services.admin.schemas.lead_edits import Edited, LeadEdit
from services.admin.schemas.personal_data import Erased, ErasedPerson, ErasePerson, PersonData, PersonRecords

router = APIRouter(tags=["people"])


@router.get(
    "/leads/export.csv",
    summary="Leads as a spreadsheet",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "UTF-8 with BOM; formulas are made text."}},
)
async def export_leads(
    asked: Annotated[ExportFilter, Query()], given: Given, actor: Actor
) -> StreamingResponse:
    """Stream every lead that matches, newest first; audited."""
    pieces = await given.people.export_leads(asked, actor)
    name = f"leads-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
    return StreamingResponse(
        pieces, media_type="text/csv; charset=utf-8", headers=_download(name) | {"Cache-Control": "no-store"}
    )


@router.get("/leads/{lead_id}/export", summary="A person's data", responses=documented(404))
async def export_person(lead_id: UUID, response: Response, given: Given, actor: Actor) -> PersonData:
    """Return everything that we hold of a lead, and the ids of the person's other leads; audited."""
    response.headers.update(_download(f"lead-{lead_id}.json"))
    return await given.people.export_person(lead_id, actor)


@router.patch("/leads/{lead_id}", summary="Edit a lead", responses=documented(404, 409))
async def edit_lead(lead_id: UUID, edit: LeadEdit, given: Given, actor: Actor) -> Edited:
    """Change fields, assignee or notes. The first original is kept; mails to come go by the new ones."""
    return await given.people.edit(lead_id, edit, actor)


@router.post("/leads/person", summary="Find a person's leads")
async def find_person(asked: ErasePerson, given: Given) -> PersonRecords:
    """Return what erasing this address would erase; nothing is changed. Posted: no address in a URL."""
    return await given.people.find_person(asked.email)


@router.post("/leads/erase", summary="Erase a person")
async def erase_person(asked: ErasePerson, given: Given, actor: Actor) -> ErasedPerson:
    """Erase every lead of an address, with a result for each."""
    return await given.people.erase_person(asked.email, actor)


@router.delete("/leads/{lead_id}", summary="Erase a lead", responses=documented(404))
async def erase_lead(lead_id: UUID, given: Given, actor: Actor) -> Erased:
    """Take the personal data out of everything that we hold; the record and its audit trail stay."""
    return await given.people.erase(lead_id, actor)


def _download(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
