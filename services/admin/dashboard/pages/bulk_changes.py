"""The pages of a bulk change: a preview to confirm, the progress, and the result of each lead."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.leads import LeadStatus
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.labels import state_name
from services.admin.dashboard.lead_search import LeadSearch, period_names
from services.admin.dashboard.rendering import PageRoute, redirect, render
from services.admin.dashboard.timezone import zone_or_utc
from services.admin.rules.reasons import with_words
from services.admin.rules.replay_rules import replay_seconds
from services.admin.schemas.bulk_changes import (
    MAX_LEADS,
    SENDING,
    BulkAction,
    BulkChange,
    BulkOrder,
    BulkPage,
    BulkResult,
    ItemCursor,
)
from services.admin.schemas.failed_deliveries import FailedState
from services.admin.schemas.filters import ExportFilter
from services.admin.schemas.replay_filters import DEFAULT_PER_SECOND, MAX_PER_SECOND
from services.admin.texts import gettext, number

BULK = "/admin/ui/bulk"
router = APIRouter(prefix=BULK, route_class=PageRoute)
PAGE_ROWS = 30


class BulkForm(LeadSearch):
    """The form below the list of leads: an action on the selected leads.

    - `ids` are the selected leads. If `matching` is set, all leads that match the search are selected
      instead.
    - `expected` is the number of leads in the preview. Without it, the form requests the preview.
    - `changing` is the number of those that would change. To confirm an erasure, it is `typed`.
    - `event`, `reason` and `failed_state` select the failed deliveries of the action `retry`.
    - `zone` is the time zone of the search's dates.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    action: BulkAction
    new_status: BlankAsNone[LeadStatus] = None
    new_assignee: BlankAsNone[str] = None
    destination: BlankAsNone[str] = None
    per_second: BlankAsNone[int] = None
    event: BlankAsNone[str] = None
    reason: BlankAsNone[str] = None
    failed_state: BlankAsNone[FailedState] = None
    zone: BlankAsNone[str] = None
    ids: tuple[UUID, ...] = ()
    matching: bool = False
    expected: BlankAsNone[Annotated[int, Field(ge=0)]] = None
    changing: BlankAsNone[Annotated[int, Field(ge=0)]] = None
    typed: str = ""

    def to_order(self, selected: ExportFilter) -> BulkOrder:
        """Return the order for the store. Raises `RequestValidationError` for an invalid field.

        The order selects the leads by one of these:

        - the search's filter `selected`, if `matching` is set
        - the filter of failed deliveries, if the action is `retry` and there are no `ids`
        - `ids` in any other case
        """
        sends, retries = self.action in SENDING, self.action == "retry" and not self.ids
        failed = {"event": self.event, "reason": self.reason, "state": self.failed_state}
        try:
            return BulkOrder.model_validate(
                {
                    "action": self.action,
                    "new_status": self.new_status if self.action == "status" else None,
                    "assignee": self.new_assignee if self.action == "assign" else None,
                    "destination": self.destination if sends else None,
                    "per_second": self.per_second if sends else None,
                    "deliveries": failed if retries else None,
                    "ids": None if self.matching or retries else self.ids,
                    "filter": selected if self.matching else None,
                }
            )
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


@router.post("")
async def start_bulk_change(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    form: Annotated[BulkForm, Form()],
) -> Response:
    """Show the preview of a bulk change. If the form confirms the preview, start the bulk change."""
    # A form without htmx sends the zone neither in a header nor in its URL.
    zone = zone_or_utc(form.zone)
    found = form.search_filter(zone, session.actor).model_dump(include=set(ExportFilter.model_fields))
    order = form.to_order(ExportFilter(**found))
    is_typed = form.action != "erase" or form.typed.strip() == str(form.changing)
    if form.expected is not None and is_typed:
        bulk = (await adapters.bulk.start(order, form.expected, session.actor)).bulk
        return redirect(request, f"{BULK}/{bulk.id}" if bulk else "/admin/ui/leads")
    preview = await adapters.bulk.preview(order)
    return render(
        request,
        session,
        "bulk/preview.html",
        form=form,
        hidden=form.hidden_fields(),
        zone=zone.key,
        preview=preview,
        changing=preview.changing,
        sends=order.sends,
        per_second=order.rate,
        max_per_second=MAX_PER_SECOND,
        seconds=replay_seconds(preview.changing, order.rate or 1),
        title=title_of(order.action, order.value),
        mismatch=form.expected is not None,
    )


@router.get("/send")
async def show_send_form(
    request: Request,
    session: CurrentSession,
    destination: Annotated[BlankAsNone[str], Query()] = None,
) -> Response:
    """Show the form with which an admin sends earlier leads to a destination.

    The form selects the leads by the time at which they were received.
    """
    return render(
        request,
        session,
        "bulk/send.html",
        destination=destination,
        destinations=sorted(request.app.state.sites.destinations),
        sites=sorted(request.app.state.sites.by_name),
        periods=period_names(),
        per_second=DEFAULT_PER_SECOND,
        max_per_second=MAX_PER_SECOND,
    )


@router.get("/duration")
async def show_duration(
    request: Request,
    session: CurrentSession,
    per_second: Annotated[int, Query(ge=1, le=MAX_PER_SECOND)],
    leads: Annotated[int, Query(ge=0, le=MAX_LEADS)],
) -> Response:
    """Show how long it takes to send `leads` leads if `per_second` are sent each second."""
    seconds = replay_seconds(leads, per_second)
    return render(request, session, "bulk/duration.html", per_second=per_second, seconds=seconds)


class ResultQuery(BaseModel):
    """The parameters that select leads of a bulk change: the result of the leads, and the page."""

    result: BlankAsNone[BulkResult] = None
    cursor: BlankAsNone[ItemCursor] = None


@router.get("/{bulk_id}")
async def show_bulk_change(
    request: Request,
    bulk_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    query: Annotated[ResultQuery, Query()],
) -> Response:
    """Show the progress of a bulk change, and the result of each lead."""
    page = BulkPage(limit=PAGE_ROWS, result=query.result, cursor=query.cursor or 0)
    details = await adapters.bulk.get_bulk(bulk_id, page)
    return render(
        request,
        session,
        "bulk/bulk.html",
        details=details,
        bulk=details.bulk,
        sends=details.bulk.action in SENDING,
        page=page,
        title=title_of(details.bulk.action, details.bulk.value),
        summary=summarise_bulk(details.bulk, details.results),
    )


@router.post("/{bulk_id}/cancel")
async def cancel_bulk_change(
    request: Request, bulk_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Cancel a bulk change. Leads that are not changed yet stay as they are."""
    await adapters.bulk.cancel(bulk_id, session.actor)
    return redirect(request, f"{BULK}/{bulk_id}")


def title_of(action: BulkAction, value: str | None) -> str:
    """Return the title of a bulk change, such as `Set status to Contacted`.

    `value` is the new status, the new assignee or the destination.
    """
    if action == "status":
        return gettext("Set status to %(status)s", status=state_name(value or ""))
    if action == "assign":
        return gettext("Assign to %(name)s", name=value) if value else gettext("Assign to nobody")
    if action == "send":
        return gettext("Send to %(name)s", name=value)
    if action == "retry":
        return gettext("Retry failed deliveries to %(name)s", name=value)
    return gettext("Delete personal data")


def summarise_bulk(bulk: BulkChange, results: dict[BulkResult, int]) -> tuple[str, str]:
    """Return one line about the progress of a bulk change, and the line's style.

    The style is amber if some leads could not be changed.
    """
    refused = results.get("refused", 0) + results.get("failed", 0)
    values = {"done": number(bulk.done), "all": number(bulk.total)}
    if bulk.state == "cancelled":
        text = gettext("Cancelled after %(done)s of %(all)s leads. The others stay as they were.", **values)
        return text, "grey"
    if bulk.state == "running" and bulk.is_waiting:
        text = gettext(
            "Waiting after %(done)s of %(all)s leads: the destination is disabled or paused", **values
        )
        return text, "amber"
    if bulk.state == "running" and bulk.retry_reason:
        text = gettext(
            "Waiting after %(done)s of %(all)s leads: %(reason)s. It is tried again until you cancel it",
            reason=with_words(bulk.retry_reason),
            **values,
        )
        return text, "amber"
    if bulk.state == "running":
        return gettext("%(done)s of %(all)s leads done", **values), "blue"
    if refused:
        text = gettext(
            "%(done)s of %(all)s leads done, %(refused)s could not be changed", refused=refused, **values
        )
        return text, "amber"
    return gettext("All %(all)s leads done", all=bulk.total), "good"
