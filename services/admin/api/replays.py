"""Replays: group the failed rows of the replay queue, and resend one row or many rows."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas import replay_filters as filters
from services.admin.schemas import replays as schemas

router = APIRouter(tags=["replays"])


@router.get("/queue/groups", summary="The rows of the replay queue, grouped by failure")
async def list_groups(
    selected: Annotated[filters.GroupFilter, Query()], adapters: CurrentAdapters
) -> schemas.QueueGroups:
    """Return the groups of rows with the same stage, kind, state and reason, the largest group first.

    By default, only rows that are waiting, replaying or dead are counted.
    """
    return await adapters.queue.list_groups(selected)


@router.post(
    "/queue/replay",
    status_code=202,
    summary="Replay rows by a filter, or preview it",
    responses={200: {"model": schemas.ReplayAnswer, "description": "The preview"}, **documented(409)},
)
async def replay(
    order: filters.ReplayOrder,
    mode: Annotated[filters.PreviewMode, Query()],
    response: Response,
    adapters: CurrentAdapters,
    actor: Actor,
) -> schemas.ReplayAnswer:
    """Resend all rows that match a filter, at a limited rate.

    First request a preview with `dry_run`. It returns the number of matching rows as `wanted`. Then send the
    request again, with this number as `expected`.
    """
    if mode.dry_run:
        response.status_code = 200
        return await adapters.replays.preview(order)
    return await adapters.replays.start(order, mode.expected, actor)


@router.post(
    "/queue/{queue_id}/replay", status_code=202, summary="Replay one row", responses=documented(404, 409)
)
async def replay_one(
    queue_id: UUID, adapters: CurrentAdapters, actor: Actor, body: filters.ReplayOne | None = None
) -> schemas.Requested:
    """Resend one row now. A dead or archived row gets three new retries."""
    return await adapters.queue.replay_one(queue_id, body.comment if body else None, actor)


@router.get("/queue/replays", summary="The history of replays, newest first")
async def list_replays(
    page: Annotated[filters.HistoryPage, Query()], adapters: CurrentAdapters
) -> schemas.ReplayHistory:
    """Return a page of replays, newest first.

    Each has its progress, its reason and the admin who started it.
    """
    return await adapters.replays.list_replays(page)


@router.get("/queue/replays/{replay_id}", summary="The progress of a replay", responses=documented(404))
async def get_replay(
    replay_id: UUID, page: Annotated[filters.ResultPage, Query()], adapters: CurrentAdapters
) -> schemas.ReplayDetail:
    """Return a replay, the number of its rows by result, and a page of its rows."""
    return await adapters.replays.get_replay(replay_id, page)


@router.delete("/queue/replays/{replay_id}", summary="Cancel a replay", responses=documented(404, 409))
async def cancel_replay(replay_id: UUID, adapters: CurrentAdapters, actor: Actor) -> schemas.Cancelled:
    """Cancel a replay. Rows that it has not sent stay as they were."""
    return await adapters.replays.cancel(replay_id, actor)
