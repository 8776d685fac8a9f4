"""The pages of a bulk change: a preview to confirm, the progress, and the result of each lead."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.leads import LeadStatus
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.labels import state_name
from services.admin.dashboard.lead_search import LeadSearch
from services.admin.dashboard.rendering import PageRoute, redirect, render
from services.admin.dashboard.timezone import ViewerZone
from services.admin.schemas.bulk_changes import BulkAction, BulkChange, BulkOrder, BulkPage, BulkResult
from services.admin.schemas.filters import ExportFilter
from services.admin.texts import gettext, number

BULK = "/admin/ui/bulk"
router = APIRouter(prefix=BULK, route_class=PageRoute)
PAGE_ROWS = 30


class BulkForm(LeadSearch):
    """The form below the list of leads: an action on the selected leads.

    `ids` are the selected leads. If `matching` is set, all leads that match the search are selected instead.
    `expected` is the number of leads in the preview. A form without it requests the preview. To confirm an
    erasure, the admin types the number of leads (`typed`).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    action: BulkAction
    new_status: BlankAsNone[LeadStatus] = None
    new_assignee: BlankAsNone[str] = None
    ids: tuple[UUID, ...] = ()
    matching: bool = False
    expected: BlankAsNone[int] = None
    typed: str = ""

    def to_order(self, selected: ExportFilter) -> BulkOrder:
        """Return the order for the store. Raises `RequestValidationError` for an invalid field.

        `selected` is the filter of the search. The order contains this filter if `matching` is set, otherwise
        it contains `ids`.
        """
        try:
            return BulkOrder.model_validate(
                {
                    "action": self.action,
                    "new_status": self.new_status if self.action == "status" else None,
                    "assignee": self.new_assignee if self.action == "assign" else None,
                    "ids": None if self.matching else self.ids,
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
    zone: ViewerZone,
    form: Annotated[BulkForm, Form()],
) -> Response:
    """Show the preview of a bulk change. If the form confirms the preview, start the bulk change."""
    found = form.search_filter(zone, session.actor).model_dump(include=set(ExportFilter.model_fields))
    order = form.to_order(ExportFilter(**found))
    is_typed = form.action != "erase" or form.typed.strip() == str(form.expected)
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
        changing=preview.leads - sum(group.leads for group in preview.refused),
        title=title_of(order.action, order.value),
        mismatch=form.expected is not None,
    )


class ResultQuery(BaseModel):
    """The parameters that select leads of a bulk change: the result of the leads, and the page."""

    result: BlankAsNone[BulkResult] = None
    cursor: BlankAsNone[int] = None


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

    `value` is the new status or assignee.
    """
    if action == "status":
        return gettext("Set status to %(status)s", status=state_name(value or ""))
    if action == "assign":
        return gettext("Assign to %(name)s", name=value) if value else gettext("Assign to nobody")
    return gettext("Delete personal data")


def summarise_bulk(bulk: BulkChange, results: dict[BulkResult, int]) -> tuple[str, str]:
    """Return one line about the progress of a bulk change, and the line's style.

    The style is amber if some leads could not be changed.
    """
    refused = results.get("refused", 0)
    values = {"done": number(bulk.done), "all": number(bulk.total)}
    if bulk.state == "cancelled":
        text = gettext("Cancelled after %(done)s of %(all)s leads. The others stay as they were.", **values)
        return text, "grey"
    if bulk.state == "running":
        return gettext("%(done)s of %(all)s leads done", **values), "blue"
    if refused:
        text = gettext(
            "%(done)s of %(all)s leads done, %(refused)s could not be changed", refused=refused, **values
        )
        return text, "amber"
    return gettext("All %(all)s leads done", all=bulk.total), "good"
