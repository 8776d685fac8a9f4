"""The audit log: search it. An entry holds no personal data, so its search may stand in the address."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.audit import AuditEvent
from services.admin.dashboard.auth import Given, Visit
from services.admin.dashboard.fields import Maybe
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.dashboard.timezone import Zone, midnight
from services.admin.schemas.filters import AuditFilter

router = APIRouter(prefix="/admin/ui/audit", route_class=PageRoute)
PAGE_ROWS = 40


class Search(BaseModel):
    """The form. Dates are the viewer's; `until` is included."""

    model_config = ConfigDict(frozen=True)

    event: Maybe[AuditEvent] = None
    lead_id: Maybe[UUID] = None
    request_id: Maybe[str] = None
    actor: Maybe[str] = None
    since: Maybe[date] = None
    until: Maybe[date] = None
    cursor: Maybe[str] = None


@router.get("")
async def show(
    request: Request, visitor: Visit, given: Given, zone: Zone, asked: Annotated[Search, Query()]
) -> Response:
    """Show a page of entries, newest first."""
    try:
        wanted = AuditFilter(
            limit=PAGE_ROWS,
            **asked.model_dump(exclude={"since", "until"}, exclude_none=True),
            since=midnight(asked.since, zone) if asked.since else None,
            until=midnight(asked.until, zone, days=1) if asked.until else None,
        )
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    page = await given.store.list_audit(wanted)
    return render(request, visitor, "audit.html", page=page, asked=asked)
