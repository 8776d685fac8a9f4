"""Exports of many leads: CSV for programs, and Excel for people. Both are audited."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.rules.export_files import CSV_TYPE, EXCEL_TYPE, export_headers
from services.admin.schemas.export_query import CsvQuery, ExportQuery

router = APIRouter(tags=["people"])


@router.get(
    "/leads/export.csv",
    summary="Export leads as CSV",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "UTF-8, RFC 4180; formulas are escaped."}},
)
async def export_csv(
    query: Annotated[CsvQuery, Query()], adapters: CurrentAdapters, actor: Actor
) -> StreamingResponse:
    """Stream all leads that match all parameters, newest first. The export is audited.

    The export contains spam and erased leads only if `include_spam_and_erased` is set, or if `status_filter`
    or `ids` selects them.
    """
    chunks = await adapters.exports.export_csv(query, actor)
    return StreamingResponse(chunks, media_type=CSV_TYPE, headers=export_headers("csv", datetime.now(UTC)))


@router.get(
    "/leads/export.xlsx",
    summary="Export leads as an Excel file",
    response_class=StreamingResponse,
    responses={
        200: {"content": {EXCEL_TYPE: {}}, "description": "One sheet; times in `zone`."},
        **documented(409),
    },
)
async def export_excel(
    query: Annotated[ExportQuery, Query()], adapters: CurrentAdapters, actor: Actor
) -> StreamingResponse:
    """Stream all leads that match all parameters, newest first, as an Excel file. The export is audited.

    The columns show times in the zone `zone`, except that `created_at_utc` is in UTC. The heading of a column
    names its zone. Excel shows every text as text and never runs it as a formula.

    The export contains spam and erased leads only if `include_spam_and_erased` is set, or if `status_filter`
    or `ids` selects them. Answers 409 if there are more leads than a sheet has rows (1,048,575).
    """
    chunks = await adapters.exports.export_excel(query, actor)
    return StreamingResponse(chunks, media_type=EXCEL_TYPE, headers=export_headers("xlsx", datetime.now(UTC)))
