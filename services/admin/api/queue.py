"""The replay queue: see what failed and why, retry it, or archive it."""

from typing import Annotated

from fastapi import APIRouter, Query

from contracts.failures import Stage
from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.filters import QueueFilter, StageFilter
from services.admin.schemas.leads import Cleared, Flushed, QueuePage, Resumed
from services.admin.schemas.replay_filters import ArchiveOrder, PreviewMode
from services.admin.schemas.replays import ArchiveAnswer
from services.admin.schemas.system import QueueStats

router = APIRouter(tags=["queue"])


@router.get("/queue/stats", summary="Queue counts, consumer lag, and whether the ledger balances")
async def queue_stats(adapters: CurrentAdapters) -> QueueStats:
    """Return counts of the queue, the ledger, Kafka and the gateways. An unknown count is null, never 0."""
    return await adapters.system.read_queue_stats()


@router.get("/queue/items", summary="The rows of the replay queue")
async def list_items(filters: Annotated[QueueFilter, Query()], adapters: CurrentAdapters) -> QueuePage:
    """Return the rows of the replay queue that match all parameters, the most recent failure first."""
    return await adapters.queue.list_items(filters)


@router.post(
    "/queue/flush",
    status_code=202,
    summary="Retry all waiting rows, and import the websites' queues, now",
)
async def flush(adapters: CurrentAdapters, actor: Actor) -> Flushed:
    """Make every waiting row due now, and request the import of the leads that the websites have queued.

    A flusher starts the retries and the import within seconds. A retry on request does not count as one of a
    row's three retries.
    """
    return await adapters.queue.flush(actor)


@router.delete("/queue/clear", summary="Archive all waiting rows")
async def clear(filters: Annotated[StageFilter, Query()], adapters: CurrentAdapters, actor: Actor) -> Cleared:
    """Archive the waiting rows of one stage or of all stages.

    No row is deleted; each can be replayed later.
    """
    stages = await adapters.queue.clear(filters.stage, actor)
    count = sum(stages.values())
    return Cleared(archived=count, stages=stages, message=f"{count} waiting rows are archived.")


@router.post("/queue/archive", summary="Archive rows by a filter, or preview it", responses=documented(409))
async def archive(
    order: ArchiveOrder, mode: Annotated[PreviewMode, Query()], adapters: CurrentAdapters, actor: Actor
) -> ArchiveAnswer:
    """Archive all waiting and dead rows that match a filter.

    No row is deleted; each can be replayed later. First request a preview with `dry_run`. Then send the
    request again with its `rows` as `expected`.
    """
    if mode.dry_run:
        return await adapters.queue.preview_archive(order)
    return await adapters.queue.archive(order, mode.expected, actor)


@router.post("/stages/{stage}/resume", summary="Close a stage's circuit breaker")
async def resume(stage: Stage, adapters: CurrentAdapters, actor: Actor) -> Resumed:
    """Resume a paused stage.

    A circuit breaker pauses a stage if too many of its records fail permanently.
    """
    was_paused = await adapters.stages.resume(stage, actor)
    message = f"The {stage} is resumed." if was_paused else f"The {stage} was not paused."
    return Resumed(stage=stage, was_paused=was_paused, paused=False, message=message)
