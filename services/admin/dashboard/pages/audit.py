"""The page of the audit log. The entries hold no personal data, so the search is a GET request."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.audit import AuditEvent
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.paging import build_pager, last_cursor, page_url
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.dashboard.timezone import ViewerZone, midnight
from services.admin.schemas.filters import AuditFilter

AUDIT_LOG = "/admin/ui/audit"
router = APIRouter(prefix=AUDIT_LOG, route_class=PageRoute)
PAGE_ROWS = 40


class AuditQuery(BaseModel):
    """The search form. Dates are in the viewer's time zone, and the day `until` is included."""

    model_config = ConfigDict(frozen=True)

    event: BlankAsNone[AuditEvent] = None
    lead_id: BlankAsNone[UUID] = None
    request_id: BlankAsNone[str] = None
    actor: BlankAsNone[str] = None
    since: BlankAsNone[date] = None
    until: BlankAsNone[date] = None
    cursor: BlankAsNone[str] = None


@router.get("")
async def show_audit_log(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    query: Annotated[AuditQuery, Query()],
) -> Response:
    """Show the entries of the audit log that match the search, newest first."""
    try:
        audit_filter = AuditFilter(
            limit=PAGE_ROWS,
            **query.model_dump(exclude={"since", "until", "cursor"}, exclude_none=True),
            cursor=last_cursor(query.cursor),
            since=midnight(query.since, zone) if query.since else None,
            until=midnight(query.until, zone, days=1) if query.until else None,
        )
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    page = await adapters.audit.list_entries(audit_filter)
    seal = await adapters.audit.read_seal()

    def url(cursor: str | None) -> str:
        return page_url(AUDIT_LOG, query.model_dump(mode="json", exclude={"cursor"}), cursor, zone.key)

    return render(
        request,
        session,
        "audit.html",
        page=page,
        seal=seal,
        query=query,
        pager=build_pager(query.cursor, page.next_cursor),
        url=url(query.cursor),
        page_url=url,
    )
