"""A person's data: mend it, say who follows it up, hand it out, erase it; and all leads as a sheet."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from services.admin.dashboard.auth import Given, Visit
from services.admin.dashboard.fields import Maybe
from services.admin.dashboard.pages.leads import Search
from services.admin.dashboard.rendering import PageRoute, go_to, render
from services.admin.dashboard.timezone import named_zone
from services.admin.rules.lead_rules import Unknown
from services.admin.schemas.filters import ExportFilter
from services.admin.schemas.lead_edits import OURS, VISITORS, LeadEdit

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


class Export(Search):
    """The search whose result is shown, and the zone that its dates are of."""

    zone: Maybe[str] = None


@router.post("/export.csv")
async def export_leads(visitor: Visit, given: Given, asked: Annotated[Export, Form()]) -> Response:
    """Hand out every lead that the search finds. Posted: a search may hold an address."""
    found = asked.wanted(named_zone(asked.zone)).model_dump(include=set(ExportFilter.model_fields))
    pieces = await given.people.export_leads(ExportFilter(**found), visitor.actor)
    name = f"leads-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
    return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=_download(name))


@router.get("/{lead_id}/edit")
async def show_edit(request: Request, lead_id: UUID, visitor: Visit, given: Given) -> Response:
    """Show the form with the lead's fields."""
    lead = (await given.store.get_lead(lead_id)).lead or await given.people.read_parked(lead_id)
    if lead is None:
        raise Unknown("This lead is not stored yet, and its record cannot be edited.")
    return render(request, visitor, "edit.html", lead=lead, fields=VISITORS)


@router.post("/{lead_id}/edit")
async def edit(request: Request, lead_id: UUID, visitor: Visit, given: Given) -> Response:
    """Change what one form holds. An empty field clears, where that may be."""
    form = await request.form()
    # Only what was sent: a form that does not show a field must not clear it.
    shown = [name for name in (*VISITORS, *OURS, "expected_updated_at") if name in form]
    try:
        # Browsers end the lines of a text with CRLF, whatever it had before.
        fields = {name: str(form[name]).replace("\r\n", "\n") for name in shown}
        wanted = LeadEdit.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    await given.people.edit(lead_id, wanted, visitor.actor)
    return go_to(request, f"/admin/ui/leads/{lead_id}")


@router.post("/{lead_id}/export")
async def export_person(lead_id: UUID, visitor: Visit, given: Given) -> Response:
    """Hand out everything that we hold of a lead."""
    data = await given.people.export_person(lead_id, visitor.actor)
    return Response(
        data.model_dump_json(indent=2),
        media_type="application/json",
        headers=_download(f"lead-{lead_id}.json"),
    )


def _download(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
