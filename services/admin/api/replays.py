"""Replays: what is stuck in groups, and send one row or many again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.admin.api.dependencies import Actor, Given
from services.admin.api.problems import documented
from services.admin.rules import replay_rules
from services.admin.schemas import replays as answers

router = APIRouter(tags=["replays"])


@router.get("/queue/groups", summary="What is stuck, grouped by what is wrong")
async def list_groups(
    asked: Annotated[replay_rules.GroupFilter, Query()], given: Given
) -> answers.QueueGroups:
    """Count the open rows by stage, kind, state and reason, the largest group first."""
    return await given.workbench.list_groups(asked)


@router.post(
    "/queue/replay",
    status_code=202,
    summary="Replay by filter, or preview that",
    responses={200: {"model": answers.ReplayAnswer, "description": "The preview"}, **documented(409)},
)
async def replay(
    order: replay_rules.ReplayOrder,
    mode: Annotated[replay_rules.ReplayMode, Query()],
    response: Response,
    given: Given,
    actor: Actor,
) -> answers.ReplayAnswer:
    """Send all rows of a filter again, so many a second.

    First with `dry_run`; then with the number that it told as `expected`.
    """
    if mode.dry_run:
        response.status_code = 200
        return await given.workbench.preview(order)
    return await given.workbench.replay(order, mode.expected, actor)


@router.post(
    "/queue/{queue_id}/replay", status_code=202, summary="Replay one row", responses=documented(404, 409)
)
async def replay_one(
    queue_id: UUID, given: Given, actor: Actor, asked: replay_rules.ReplayOne | None = None
) -> answers.Requested:
    """Send one row again, now. What was dead or archived gets three new retries."""
    return await given.workbench.replay_one(queue_id, asked.comment if asked else None, actor)


@router.get("/queue/replays", summary="The history of replays, newest first")
async def list_replays(
    asked: Annotated[replay_rules.HistoryPage, Query()], given: Given
) -> answers.ReplayHistory:
    """Return who replayed what, why, and how far each is."""
    return await given.workbench.list_replays(asked)


@router.get("/queue/replays/{replay_id}", summary="How far a replay is", responses=documented(404))
async def get_replay(
    replay_id: UUID, asked: Annotated[replay_rules.ResultPage, Query()], given: Given
) -> answers.ReplayDetail:
    """Count its rows by what became of them, and list them."""
    return await given.workbench.get_replay(replay_id, asked)


@router.delete("/queue/replays/{replay_id}", summary="Cancel a replay", responses=documented(404, 409))
async def cancel_replay(replay_id: UUID, given: Given, actor: Actor) -> answers.Cancelled:
    """Send nothing more of it. What was not sent was never touched and stays as it was."""
    return await given.workbench.cancel_replay(replay_id, actor)
