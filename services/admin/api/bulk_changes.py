"""Bulk changes: one action on many leads. Preview it, start it, follow its progress and cancel it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas import bulk_changes as schemas
from services.admin.schemas.replay_filters import HistoryPage

router = APIRouter(tags=["leads"])


@router.post(
    "/bulk",
    status_code=202,
    summary="Change many leads, or preview it",
    responses={200: {"model": schemas.BulkAnswer, "description": "The preview"}, **documented(404, 409)},
)
async def start_bulk_change(
    order: schemas.BulkOrder,
    mode: Annotated[schemas.BulkMode, Query()],
    response: Response,
    adapters: CurrentAdapters,
    actor: Actor,
) -> schemas.BulkAnswer:
    """Perform one action on at most 100,000 leads. Each change is audited.

    - `status` sets the status, `assign` sets the assignee, and `erase` erases the leads.
    - `send` sends leads that a destination does not have yet, at most `per_second` leads a second.
    - `retry` resends failed deliveries of leads to a destination.

    `send` and `retry` wait while the destination is disabled or paused.

    First request a preview with `dry_run`. It returns the number of matching leads as `leads`. Then send the
    request again, with this number as `expected`.
    """
    if mode.dry_run:
        response.status_code = 200
        return await adapters.bulk.preview(order)
    return await adapters.bulk.start(order, mode.expected, actor)


@router.get("/bulk", summary="The history of actions on many leads, newest first")
async def list_bulk_changes(
    page: Annotated[HistoryPage, Query()], adapters: CurrentAdapters
) -> schemas.BulkHistory:
    """Return a page of bulk changes, newest first, each with its progress and the admin who started it."""
    return await adapters.bulk.list_bulks(page)


@router.get("/bulk/{bulk_id}", summary="The progress of an action", responses=documented(404))
async def get_bulk_change(
    bulk_id: UUID, page: Annotated[schemas.BulkPage, Query()], adapters: CurrentAdapters
) -> schemas.BulkDetail:
    """Return a bulk change, the number of its leads by result, and a page of its leads."""
    return await adapters.bulk.get_bulk(bulk_id, page)


@router.delete("/bulk/{bulk_id}", summary="Cancel an action", responses=documented(404, 409))
async def cancel_bulk_change(bulk_id: UUID, adapters: CurrentAdapters, actor: Actor) -> schemas.BulkChange:
    """Cancel a bulk change. Leads that are already changed stay changed, and no more leads are changed."""
    return await adapters.bulk.cancel(bulk_id, actor)
