"""Exports: the leads of a search as CSV, and all data of one lead as JSON. Both are audited."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Response
from fastapi.responses import StreamingResponse

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.pages.leads import LeadSearch
from services.admin.dashboard.rendering import PageRoute
from services.admin.dashboard.timezone import zone_or_utc
from services.admin.schemas.filters import ExportFilter

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


class ExportForm(LeadSearch):
    """The search on the page of leads, and the time zone of its dates."""

    zone: BlankAsNone[str] = None


@router.post("/export.csv")
async def export_leads(
    session: CurrentSession, adapters: CurrentAdapters, form: Annotated[ExportForm, Form()]
) -> Response:
    """Stream all leads of a search as CSV. A POST request, because the search may contain an address."""
    lead_filter = form.to_filter(zone_or_utc(form.zone)).model_dump(include=set(ExportFilter.model_fields))
    chunks = await adapters.personal_data.export_leads(ExportFilter(**lead_filter), session.actor)
    filename = f"leads-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
    return StreamingResponse(chunks, media_type="text/csv; charset=utf-8", headers=_attachment(filename))


@router.post("/{lead_id}/export")
async def export_person(lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Return all data of a lead as JSON."""
    data = await adapters.personal_data.export_person(lead_id, session.actor)
    return Response(
        data.model_dump_json(indent=2),
        media_type="application/json",
        headers=_attachment(f"lead-{lead_id}.json"),
    )


def _attachment(filename: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{filename}"'}
