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
from services.admin.schemas.filters import ExportFilter, ExportQuery

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


class ExportForm(LeadSearch):
    """The search on the page of leads, the time zone of its dates, and what else to export."""

    zone: BlankAsNone[str] = None
    include_spam_and_erased: bool = False


@router.post("/export.csv")
async def export_leads(
    session: CurrentSession, adapters: CurrentAdapters, form: Annotated[ExportForm, Form()]
) -> Response:
    """Stream all leads of a search as CSV. A POST request, because the search may contain an address."""
    zone = zone_or_utc(form.zone)
    conditions = form.to_filter(zone).model_dump(include=set(ExportFilter.model_fields))
    query = ExportQuery(**conditions, zone=zone.key, include_spam_and_erased=form.include_spam_and_erased)
    chunks = await adapters.personal_data.export_leads(query, session.actor)
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
