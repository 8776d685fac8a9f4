"""The replay queue: what is stuck and why, push it on, or set it aside."""

from typing import Annotated

from fastapi import APIRouter, Query

from contracts.failures import Stage
from services.admin.api.dependencies import Actor, Given
from services.admin.monitoring.system_status import survey_queue
from services.admin.schemas.filters import QueueFilter, StageFilter
from services.admin.schemas.leads import Cleared, Flushed, QueuePage, Resumed
from services.admin.schemas.system import QueueStats

router = APIRouter(tags=["queue"])


@router.get("/queue/stats", summary="What is stuck, how far behind, and whether the books balance")
async def queue_stats(given: Given) -> QueueStats:
    """Show every part that answers; what does not is null, never 0."""
    return await survey_queue(given)


@router.get("/queue/items", summary="The rows of the replay queue")
async def list_items(asked: Annotated[QueueFilter, Query()], given: Given) -> QueuePage:
    """Filter and page, the last failure first."""
    return await given.store.list_queue(asked)


@router.post(
    "/queue/flush",
    status_code=202,
    summary="Retry everything that waits, and fetch the websites' queues, now",
)
async def flush(given: Given, actor: Actor) -> Flushed:
    """Make every waiting row due, and fetch the websites' queues. A flusher does it within seconds.

    No retry is burned.
    """
    return await given.store.flush(actor)


@router.delete("/queue/clear", summary="Archive everything that waits")
async def clear(asked: Annotated[StageFilter, Query()], given: Given, actor: Actor) -> Cleared:
    """Set what waits aside, of one stage or of all. Nothing is destroyed: it can be replayed later."""
    stages = await given.store.clear(asked.stage, actor)
    count = sum(stages.values())
    return Cleared(archived=count, stages=stages, message=f"{count} waiting rows are archived.")


@router.post("/stages/{stage}/resume", summary="Close a stage's breaker")
async def resume(stage: Stage, given: Given, actor: Actor) -> Resumed:
    """Let a stage go on that paused itself because too much of it died."""
    was_paused = await given.store.resume(stage, actor)
    said = f"The {stage} goes on." if was_paused else f"The {stage} was not paused."
    return Resumed(stage=stage, was_paused=was_paused, paused=False, message=said)
