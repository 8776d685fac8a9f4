"""The list of leads. Searches are POST requests, because a URL must not contain an email address."""

from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query, Request, Response

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.cache import Cache, CurrentCache
from services.admin.dashboard.lead_search import (
    LEADS,
    PEOPLE,
    PERIODS,
    WAITING_HOURS,
    LeadQuery,
    LeadSearch,
    chips,
    column_orders,
)
from services.admin.dashboard.paging import build_pager
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render
from services.admin.dashboard.timezone import ViewerZone
from services.admin.dashboard.view_links import ViewLink, load_links

router = APIRouter(prefix=LEADS, route_class=PageRoute)
SERVICES_MAX_AGE_SECONDS = 30.0


@router.get("")
async def show_leads(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
    query: Annotated[LeadQuery, Query()],
) -> Response:
    """Show a page of the leads that match the filters in the URL."""
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

    A form without search words that was sent without htmx is redirected to the URL with its filters, so that
    the address bar shows that URL.
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
    filters = search.search_filter(zone, session.actor)
    page = await adapters.leads.list_leads(filters)
    # An htmx response contains the list only: neither the views, nor the services that the form suggests.
    shares, views = None, list[ViewLink]()
    if not is_htmx(request):
        views = await load_links(adapters, cache, zone, session.actor)
        shares = await cache.get_or_load("shares", adapters.trends.shares, SERVICES_MAX_AGE_SECONDS)
    return render(
        request,
        session,
        "leads/leads.html",
        page=page,
        search=search,
        is_filtered=bool(search.q or search.conditions()),
        hidden=search.hidden_fields(),
        pager=build_pager(search.cursor, page.next_cursor),
        url=search.url(zone),
        views=views,
        view_url=search.url(zone, cursor=None, rows=None),
        page_url=lambda cursor: search.url(zone, cursor=cursor),
        list_url=lambda **changes: search.url(zone, cursor=None, **changes),
        chips=list(chips(search, request.app.state.sites.display_name)),
        orders=column_orders(filters.sort),
        periods=PERIODS,
        sites=sorted(request.app.state.sites.by_name),
        waiting_hours=WAITING_HOURS,
        people=PEOPLE,
        zone=zone.key,
        services=shares.services if shares else (),
    )
