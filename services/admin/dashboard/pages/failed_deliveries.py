"""Failed deliveries: groups of queue rows with the same failure, the rows of a group, and actions on rows."""

from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.failures import Kind, Stage
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.cache import CurrentCache
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.paging import build_pager, last_cursor, page_url
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, render_toast
from services.admin.dashboard.replay_summary import summarise_replay
from services.admin.schemas.failed_deliveries import DeliveryFilter, DestinationName, FailedState
from services.admin.schemas.filters import QueueFilter, QueueState
from services.admin.schemas.leads import Flushed
from services.admin.schemas.replay_filters import ArchiveOrder, GroupFilter, HistoryPage
from services.admin.texts import gettext, ngettext

FAILED_DELIVERIES = "/admin/ui/workbench"
router = APIRouter(prefix=FAILED_DELIVERIES, route_class=PageRoute)
PAGE_ROWS = 30
HISTORY_ROWS = 8
OUTCOMES_MAX_AGE_SECONDS = 2.0
# A page with 500 rows takes a quarter of a second. The groups are sorted by size, the largest first.
SHOWN_FAILURES = 100
# The states of deliveries to destinations, by the state of the queue whose tab shows them.
DELIVERY_STATES: Final[dict[str | None, tuple[FailedState, ...]]] = {
    None: ("failed", "dead"),
    "waiting": ("failed",),
    "dead": ("dead",),
}


class GroupQuery(BaseModel):
    """The parameters that select groups of failed deliveries.

    None of them is personal data.
    """

    model_config = ConfigDict(frozen=True)

    stage: BlankAsNone[Stage] = None
    kind: BlankAsNone[Kind] = None
    state: BlankAsNone[QueueState] = None
    reason: BlankAsNone[str] = None

    def url_params(self) -> dict[str, str]:
        """Return the fields that are set, as parameters of a URL."""
        return self.model_dump(mode="json", exclude_none=True, include=set(GroupQuery.model_fields))


class RowsQuery(GroupQuery):
    """The parameters that select a page of a group's rows."""

    cursor: BlankAsNone[str] = None


@router.get("")
async def show_groups(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    cache: CurrentCache,
    query: Annotated[GroupQuery, Query()],
) -> Response:
    """Show the groups of failed deliveries, and the latest replays.

    `query` selects the state of the groups. By default, groups that are waiting, replaying or dead are shown.
    """
    groups = await adapters.queue.list_groups(GroupFilter(state=query.state))
    failures = await adapters.failed_deliveries.list_groups(states=DELIVERY_STATES.get(query.state, ()))
    history = await adapters.replays.list_replays(HistoryPage(limit=HISTORY_ROWS))
    shown = " ".join(f"{each.id} {each.state} {each.taken}" for each in history.replays)
    outcomes = await cache.get_or_load(
        f"replays {shown}",
        partial(adapters.replays.count_outcomes, history.replays),
        OUTCOMES_MAX_AGE_SECONDS,
    )
    return render(
        request,
        session,
        "deliveries/failed_deliveries.html",
        groups=groups,
        failures=failures.groups[:SHOWN_FAILURES],
        hidden_failures=failures.groups[SHOWN_FAILURES:],
        history=history,
        summaries={each.id: summarise_replay(each, outcomes[each.id]) for each in history.replays},
        query=query,
        # The groups may be of another state, so they cannot be summed up.
        pending=await adapters.queue.count_waiting(),
        paused=await adapters.stages.list_paused(),
    )


@router.get("/items")
async def show_rows(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, query: Annotated[RowsQuery, Query()]
) -> Response:
    """Show the rows of a group, the most recent failure first."""
    try:
        selection = query.model_dump(exclude_none=True) | {"cursor": last_cursor(query.cursor)}
        queue_filter = QueueFilter(limit=PAGE_ROWS, **selection)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    page = await adapters.queue.list_items(queue_filter)
    return render(
        request,
        session,
        "deliveries/queue_rows.html",
        page=page,
        query=query,
        pager=build_pager(query.cursor, page.next_cursor),
        page_url=lambda cursor: page_url(f"{FAILED_DELIVERIES}/items", query.url_params(), cursor),
    )


class DeliveriesQuery(BaseModel):
    """The parameters that select a group of deliveries to one destination, and a page of the group."""

    model_config = ConfigDict(frozen=True)

    destination: DestinationName
    event: BlankAsNone[str] = None
    reason: BlankAsNone[str] = None
    state: BlankAsNone[FailedState] = None
    cursor: BlankAsNone[str] = None


@router.get("/deliveries")
async def show_deliveries(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    query: Annotated[DeliveriesQuery, Query()],
) -> Response:
    """Show a group of failed deliveries to one destination, the most recent failure first."""
    params = query.model_dump(exclude_none=True, exclude={"cursor"})
    try:
        filters = DeliveryFilter(limit=PAGE_ROWS, cursor=last_cursor(query.cursor), **params)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    page = await adapters.failed_deliveries.list_deliveries(filters)
    path = f"{FAILED_DELIVERIES}/deliveries"
    return render(
        request,
        session,
        "deliveries/failures.html",
        page=page,
        query=query,
        url=page_url(path, params, query.cursor),
        pager=build_pager(query.cursor, page.next_cursor),
        page_url=lambda cursor: page_url(path, params, cursor),
    )


@router.post("/items/{queue_id}/replay")
async def replay_row(
    request: Request, queue_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Replay one row now."""
    await adapters.queue.replay_one(queue_id, None, session.actor)
    return _after_action(request, session, gettext("The delivery is retried within seconds."))


@router.post("/items/{queue_id}/archive")
async def archive_row(
    request: Request, queue_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Archive one row."""
    await adapters.queue.archive(ArchiveOrder(ids=[queue_id]), None, session.actor)
    message = gettext("The delivery is archived. Retry it from the Archived tab.")
    return _after_action(request, session, message)


@router.post("/flush")
async def retry_all_pending(request: Request, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Retry all pending rows now, and import the leads that the websites have queued."""
    flushed = await adapters.queue.flush(session.actor)
    return _after_action(request, session, _flush_message(flushed))


@router.post("/clear")
async def archive_all_pending(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    stage: Annotated[BlankAsNone[Stage], Form()] = None,
) -> Response:
    """Archive all pending rows, or all pending rows of one stage."""
    count = sum((await adapters.queue.clear(stage, session.actor)).values())
    message = ngettext(
        "%(count)s delivery archived. Retry them from the Archived tab.",
        "%(count)s deliveries archived. Retry them from the Archived tab.",
        count,
    )
    return _after_action(request, session, message)


def _flush_message(flushed: Flushed) -> str:
    if not flushed.sites:
        return ngettext(
            "Retrying %(count)s pending delivery.",
            "Retrying %(count)s pending deliveries.",
            flushed.requested,
        )
    return ngettext(
        "Retrying %(count)s pending delivery. Importing the queues of: %(sites)s.",
        "Retrying %(count)s pending deliveries. Importing the queues of: %(sites)s.",
        flushed.requested,
        sites=", ".join(flushed.sites),
    )


def _after_action(request: Request, session: CurrentSession, message: str) -> Response:
    return (
        render_toast(request, session, message) if is_htmx(request) else redirect(request, FAILED_DELIVERIES)
    )
