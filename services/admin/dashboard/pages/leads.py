"""The leads: search, filters, pages. A search may hold an address, so it is posted: no URL holds it."""

from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.leads import LeadStatus
from services.admin.dashboard.auth import Given, Visit
from services.admin.dashboard.cache import Kept, Recent
from services.admin.dashboard.fields import Maybe
from services.admin.dashboard.rendering import PageRoute, in_part, render
from services.admin.dashboard.timezone import Zone, midnight
from services.admin.schemas.filters import LeadFilter

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)
PAGE_ROWS = 30
SERVICES_SECONDS = 30.0


class Filters(BaseModel):
    """What may stand in an address: nothing personal. Dates are the viewer's; `until` is included."""

    model_config = ConfigDict(frozen=True)

    status: Maybe[LeadStatus] = None
    service: Maybe[str] = None
    since: Maybe[date] = None
    until: Maybe[date] = None
    cursor: Maybe[str] = None


class Search(Filters):
    """The form: the filters, and the words that no address may hold."""

    q: Maybe[str] = None

    def wanted(self, zone: ZoneInfo) -> LeadFilter:
        """Return what the store is asked for; a wrong field is told like any other of a form."""
        try:
            return LeadFilter(
                limit=PAGE_ROWS,
                status_filter=self.status,
                q=self.q,
                service=self.service,
                since=midnight(self.since, zone) if self.since else None,
                until=midnight(self.until, zone, days=1) if self.until else None,
                cursor=self.cursor,
            )
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


@router.get("")
async def show(
    request: Request, visitor: Visit, given: Given, zone: Zone, kept: Kept, asked: Annotated[Filters, Query()]
) -> Response:
    """Show a page of leads, newest first."""
    return await _show(request, visitor, given, zone, kept, Search(**asked.model_dump()))


@router.post("")
async def search(
    request: Request, visitor: Visit, given: Given, zone: Zone, kept: Kept, asked: Annotated[Search, Form()]
) -> Response:
    """Show the leads that match what was typed."""
    return await _show(request, visitor, given, zone, kept, asked)


async def _show(
    request: Request, visitor: Visit, given: Given, zone: ZoneInfo, kept: Recent, asked: Search
) -> Response:
    page = await given.store.list_leads(asked.wanted(zone))
    narrowed = any((asked.q, asked.status, asked.service, asked.since, asked.until))
    # The commonest ones, to choose from. htmx draws the list alone.
    shares = None if in_part(request) else await kept.ask("shares", given.trends.shares, SERVICES_SECONDS)
    return render(
        request,
        visitor,
        "leads.html",
        page=page,
        asked=asked,
        narrowed=narrowed,
        zone=zone.key,
        services=shares.services if shares else (),
    )
