"""The list of leads. Searches are POST requests, because a URL must not contain an email address."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import BaseModel

from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.auth.session import Sessions
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.cache import Cache, CurrentCache
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.lead_search import (
    LEADS,
    WAITING_HOURS,
    LeadQuery,
    LeadSearch,
    chips,
    column_orders,
    over_text,
    people_names,
    period_names,
)
from services.admin.dashboard.list_columns import (
    COLUMNS,
    COLUMNS_COOKIE,
    COOKIE_SECONDS,
    USUAL_COLUMNS,
    ColumnName,
    columns_cookie,
    read_columns,
)
from services.admin.dashboard.pages.login import own_url
from services.admin.dashboard.paging import build_pager
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render
from services.admin.dashboard.timezone import ViewerZone
from services.admin.dashboard.view_links import ViewLink, load_links
from services.admin.schemas.filters import LeadFilter, Time
from services.admin.schemas.leads import LeadPage
from services.admin.texts import gettext

router = APIRouter(prefix=LEADS, route_class=PageRoute)
SERVICES_MAX_AGE_SECONDS = 30.0
HELD_MAX_AGE_SECONDS = 10.0
NEW_LEADS_MAX: Final = 99


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


class ListForm(LeadSearch):
    """The search form.

    `shown` is the time at which the page loaded its list. The page sends `shown` when it reloads the list.
    Leads that arrived later are counted, but not listed.
    """

    shown: BlankAsNone[Time] = None


@router.post("")
async def search_leads(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
    search: Annotated[ListForm, Form()],
) -> Response:
    """Show a page of the leads that match a search.

    Without search words, the response to a browser is a redirect to the URL with the filters, so that the
    address bar shows this URL. Requests by htmx are not redirected.
    """
    if not search.q and not is_htmx(request):
        return redirect(request, search.url(zone))
    return await _render_leads(request, session, adapters, zone, cache, search, search.shown)


class ColumnsForm(BaseModel):
    """The chosen columns, and the URL of the list to which the browser returns."""

    columns: tuple[ColumnName, ...] = ()
    url: str = LEADS


@router.post("/columns")
async def choose_columns(request: Request, form: Annotated[ColumnsForm, Form()]) -> Response:
    """Store the chosen columns in a cookie. With htmx, the page reloads and keeps its search words."""
    response = redirect(request, own_url(form.url))
    if is_htmx(request):
        response = Response(status_code=204, headers={"HX-Refresh": "true"})
    sessions: Sessions = request.app.state.sessions
    response.set_cookie(
        COLUMNS_COOKIE,
        columns_cookie(form.columns),
        max_age=COOKIE_SECONDS,
        path=LEADS,
        secure=sessions.secure,
        httponly=True,
        samesite="strict",
    )
    return response


async def _render_leads(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ZoneInfo,
    cache: Cache,
    search: LeadSearch,
    shown: datetime | None = None,
) -> Response:
    """Render the list of leads.

    Leads that came after the time `shown` are only counted. Adding them would move the rows while somebody
    reads.
    """
    filters = search.search_filter(zone, session.actor)
    page, new_leads = await _read_page(adapters, filters, shown)
    # An htmx response contains the list only: neither the views, nor the services that the form suggests,
    # nor the link to the held leads.
    shares, views, held = None, list[ViewLink](), 0
    if not is_htmx(request):
        views = await load_links(adapters, cache, zone, session.actor)
        sites = await cache.get_or_load("held", adapters.held_leads.list_sites, HELD_MAX_AGE_SECONDS)
        held = sum(site.leads for site in sites)
        shares = await cache.get_or_load("shares", adapters.trends.shares, SERVICES_MAX_AGE_SECONDS)
    return render(
        request,
        session,
        "leads/leads.html",
        page=page,
        new_leads=new_leads,
        new_leads_max=NEW_LEADS_MAX,
        shown=_shown_until(page, filters, shown),
        search=search,
        is_filtered=bool(search.q or search.conditions()),
        has_word=search.has_word(),
        ignores_words="q" in request.query_params,
        held=held,
        hidden=search.hidden_fields(),
        pager=build_pager(search.cursor, page.next_cursor),
        url=search.url(zone),
        views=views,
        view_url=search.url(zone, cursor=None, rows=None),
        page_url=lambda cursor: search.url(zone, cursor=cursor),
        list_url=lambda **changes: search.url(zone, cursor=None, **changes),
        chips=list(chips(search, request.app.state.sites.display_name)),
        columns={name: gettext(label) for name, label in COLUMNS.items()},
        shown_columns=(shown_columns := read_columns(request.cookies.get(COLUMNS_COOKIE))),
        are_columns_usual=shown_columns == USUAL_COLUMNS,
        orders=column_orders(filters.sort),
        periods=period_names(),
        sites=sorted(request.app.state.sites.by_name),
        destinations=sorted(request.app.state.sites.destinations),
        waiting={hours: over_text(hours) for hours in WAITING_HOURS},
        people=people_names(),
        zone=zone.key,
        services=shares.services if shares else (),
    )


async def _read_page(adapters: Adapters, filters: LeadFilter, shown: datetime | None) -> tuple[LeadPage, int]:
    """Return a page of the leads that came before `shown`, and the number of leads that came later."""
    if shown:
        until = min(shown, filters.until) if filters.until else shown
        page = await adapters.leads.list_leads(filters.model_copy(update={"until": until}))
        if page.leads:
            return page, await adapters.leads.count_since(filters, shown, NEW_LEADS_MAX + 1)
    # An empty page shows new leads at once, because nobody reads anything there.
    return await adapters.leads.list_leads(filters), 0


def _shown_until(page: LeadPage, filters: LeadFilter, shown: datetime | None) -> datetime | None:
    """Return the time after which leads count as new, or None for an empty page.

    This is `shown` if it is set. Otherwise, it is the time of the newest lead on the page or, if the page is
    not sorted by time, the current time.
    """
    if not page.leads or shown:
        return shown if page.leads else None
    times = [lead.created_at_utc for lead in page.leads]
    # A lead is stored moments after it came. So the newest lead, if it is on the page, bounds it better.
    newest = max(times if filters.sort == "received" else [datetime.now(UTC), *times])
    return newest + timedelta(microseconds=1)
