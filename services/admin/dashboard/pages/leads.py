"""The list of leads. Searches are POST requests, because a URL must not contain an email address."""

from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.leads import LeadStatus
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.cache import Cache, CurrentCache
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.paging import build_pager, last_cursor, page_url
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render
from services.admin.dashboard.timezone import ViewerZone, midnight
from services.admin.schemas.filters import LeadFilter

LEADS = "/admin/ui/leads"
router = APIRouter(prefix=LEADS, route_class=PageRoute)
PAGE_ROWS = 30
SERVICES_MAX_AGE_SECONDS = 30.0


class LeadQuery(BaseModel):
    """Filters without personal data, which a URL may contain.

    Dates are in the viewer's time zone, and the day `until` is included.
    """

    model_config = ConfigDict(frozen=True)

    status: BlankAsNone[LeadStatus] = None
    service: BlankAsNone[str] = None
    since: BlankAsNone[date] = None
    until: BlankAsNone[date] = None
    cursor: BlankAsNone[str] = None

    def url(self, zone: ZoneInfo) -> str:
        """Return the URL of this page of the list. It has the zone of the dates, and no search words."""
        filters = self.model_dump(mode="json", include={"status", "service", "since", "until"})
        return page_url(LEADS, filters, self.cursor, zone.key)


class LeadSearch(LeadQuery):
    """The search form: the filters, and the search words `q`."""

    q: BlankAsNone[str] = None

    def to_filter(self, zone: ZoneInfo) -> LeadFilter:
        """Return the search as the store's filter. Raises `RequestValidationError` for an invalid field."""
        try:
            return LeadFilter(
                limit=PAGE_ROWS,
                status_filter=self.status,
                q=self.q,
                service=self.service,
                since=midnight(self.since, zone) if self.since else None,
                until=midnight(self.until, zone, days=1) if self.until else None,
                cursor=last_cursor(self.cursor),
            )
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


@router.get("")
async def show_leads(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
    query: Annotated[LeadQuery, Query()],
) -> Response:
    """Show a page of leads, newest first."""
    return await _render_leads(request, session, adapters, zone, cache, LeadSearch(**query.model_dump()))


@router.post("")
async def search_leads(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
    search: Annotated[LeadSearch, Form()],
) -> Response:
    """Show a page of the leads that match a search.

    Without search words, a form that was sent without htmx is redirected to the page's URL, so that the
    address bar has the filters.
    """
    if not search.q and not is_htmx(request):
        return redirect(request, search.url(zone))
    return await _render_leads(request, session, adapters, zone, cache, search)


async def _render_leads(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ZoneInfo,
    cache: Cache,
    search: LeadSearch,
) -> Response:
    page = await adapters.leads.list_leads(search.to_filter(zone))
    is_filtered = any((search.q, search.status, search.service, search.since, search.until))
    # The most frequent services are suggestions of the search form, which an htmx response does not contain.
    shares = None
    if not is_htmx(request):
        shares = await cache.get_or_load("shares", adapters.trends.shares, SERVICES_MAX_AGE_SECONDS)
    return render(
        request,
        session,
        "leads/leads.html",
        page=page,
        search=search,
        is_filtered=is_filtered,
        pager=build_pager(search.cursor, page.next_cursor),
        url=search.url(zone),
        page_url=lambda cursor: search.model_copy(update={"cursor": cursor}).url(zone),
        zone=zone.key,
        services=shares.services if shares else (),
    )
