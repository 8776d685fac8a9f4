"""Exports: the leads of a search as CSV or Excel, and all data of one lead as JSON. All are audited."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.lead_search import LeadSearch
from services.admin.dashboard.rendering import PageRoute, is_htmx, render
from services.admin.dashboard.timezone import zone_or_utc
from services.admin.rules.export_files import CSV_TYPE, EXCEL_TYPE, export_headers
from services.admin.schemas.export_columns import COLUMNS
from services.admin.schemas.export_query import MAX_CHOSEN, CsvQuery, ExportColumnName, ExportQuery
from services.admin.schemas.filters import ExportFilter
from services.admin.texts import gettext

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


class ExportForm(LeadSearch):
    """The search on the page of leads, and what to export.

    `ids` are the leads that the admin selected. If `ids` is empty or `matching` is set, all leads that match
    the search are exported. `zone` is the time zone of the dates.
    """

    matching: bool = False
    ids: list[UUID] = Field(default=[], max_length=MAX_CHOSEN)
    columns: list[ExportColumnName] = Field(default=[], max_length=len(COLUMNS))
    zone: BlankAsNone[str] = None
    include_spam_and_erased: bool = False

    @property
    def chosen(self) -> list[UUID]:
        """Return the ids of the leads to export.

        The list is empty if all leads that match the search are exported.
        """
        return [] if self.matching else self.ids

    def query_fields(self, actor: str) -> dict[str, Any]:
        """Return the fields of the export's query.

        The assignee `ME` stands for the admin `actor`.
        """
        zone = zone_or_utc(self.zone)
        conditions = self.search_filter(zone, actor).model_dump(include=set(ExportFilter.model_fields))
        return conditions | {
            "ids": self.chosen or None,
            "columns": self.columns or None,
            "zone": zone.key,
            "include_spam_and_erased": self.include_spam_and_erased,
        }


@router.post("/export")
async def show_export(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, form: Annotated[ExportForm, Form()]
) -> Response:
    """Show the form that chooses the columns and the format of an export.

    With htmx, the form is a dialog. Without htmx, it is a page.
    """
    count, left_out, is_estimate = await adapters.exports.count(
        ExportQuery(**form.query_fields(session.actor))
    )
    return render(
        request,
        session,
        "leads/export_dialog.html" if is_htmx(request) else "leads/export_page.html",
        form=form,
        columns=COLUMNS,
        labels={name: gettext(column.label) for name, column in COLUMNS.items()},
        count=count,
        left_out=left_out,
        is_estimate=is_estimate,
    )


@router.post("/export.csv")
async def export_csv(
    session: CurrentSession, adapters: CurrentAdapters, form: Annotated[ExportForm, Form()]
) -> Response:
    """Stream the leads of a search as CSV.

    The request is a POST, because the search may contain an email address. The CSV is for programs, so it has
    no byte order mark. Excel users choose the Excel file instead.
    """
    query = CsvQuery(**form.query_fields(session.actor), bom=False)
    chunks = await adapters.exports.export_csv(query, session.actor)
    return StreamingResponse(chunks, media_type=CSV_TYPE, headers=export_headers("csv", datetime.now(UTC)))


@router.post("/export.xlsx")
async def export_excel(
    session: CurrentSession, adapters: CurrentAdapters, form: Annotated[ExportForm, Form()]
) -> Response:
    """Stream the leads of a search as an Excel file.

    The request is a POST, because the search may contain an email address.
    """
    chunks = await adapters.exports.export_excel(
        ExportQuery(**form.query_fields(session.actor)), session.actor
    )
    return StreamingResponse(chunks, media_type=EXCEL_TYPE, headers=export_headers("xlsx", datetime.now(UTC)))


@router.post("/{lead_id}/export")
async def export_person(lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Return all data of a lead as JSON."""
    data = await adapters.personal_data.export_person(lead_id, session.actor)
    return Response(
        data.model_dump_json(indent=2),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="lead-{lead_id}.json"'},
    )
