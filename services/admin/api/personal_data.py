"""Personal data: edit, export and erase it."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.filters import ExportQuery
from services.admin.schemas.lead_edits import Edited, LeadEdit
from services.admin.schemas.personal_data import Erased, ErasedPerson, ErasePerson, PersonData, PersonRecords

router = APIRouter(tags=["people"])


@router.get(
    "/leads/export.csv",
    summary="Export leads as CSV",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "UTF-8 with BOM; formulas are escaped."}},
)
async def export_leads(
    query: Annotated[ExportQuery, Query()], adapters: CurrentAdapters, actor: Actor
) -> StreamingResponse:
    """Stream all leads that match all parameters, newest first. The export is audited.

    Spam and erased leads need `include_spam_and_erased`, or a `status_filter` that selects them.
    """
    chunks = await adapters.personal_data.export_leads(query, actor)
    name = f"leads-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
    return StreamingResponse(
        chunks, media_type="text/csv; charset=utf-8", headers=_download(name) | {"Cache-Control": "no-store"}
    )


@router.get("/leads/{lead_id}/export", summary="A person's data", responses=documented(404))
async def export_person(
    lead_id: UUID, response: Response, adapters: CurrentAdapters, actor: Actor
) -> PersonData:
    """Return everything that is stored of a lead, and the ids of the person's other leads. Audited."""
    response.headers.update(_download(f"lead-{lead_id}.json"))
    return await adapters.personal_data.export_person(lead_id, actor)


@router.patch("/leads/{lead_id}", summary="Edit a lead", responses=documented(404, 409))
async def edit_lead(lead_id: UUID, edit: LeadEdit, adapters: CurrentAdapters, actor: Actor) -> Edited:
    """Change a lead's fields. The visitor's original values are kept; later emails use the new values."""
    return await adapters.personal_data.edit(lead_id, edit, actor)


@router.post("/leads/person", summary="Find a person's leads")
async def find_person(person: ErasePerson, adapters: CurrentAdapters) -> PersonRecords:
    """Return what an erasure of this person would erase. A POST, so that no URL contains personal data."""
    return await adapters.erasures.find_person(person.email, person.phone)


@router.post("/leads/erase", summary="Erase a person")
async def erase_person(person: ErasePerson, adapters: CurrentAdapters, actor: Actor) -> ErasedPerson:
    """Erase all leads and queued records of an address, and stored leads of a phone.

    Returns what was erased and what failed.
    """
    return await adapters.erasures.erase_person(person.email, actor, phone=person.phone)


@router.delete("/leads/{lead_id}", summary="Erase a lead", responses=documented(404))
async def erase_lead(lead_id: UUID, adapters: CurrentAdapters, actor: Actor) -> Erased:
    """Erase a lead's personal data wherever it is stored. Its emptied rows and its audit entries stay."""
    return await adapters.erasures.erase_lead(lead_id, actor)


def _download(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
