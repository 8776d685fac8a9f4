"""Resolves rows of `replay_queue` that need no retry. Everything else about the queue is in the flusher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.failures import Kind, Stage
from runtime.database.postgres import Connection, load_queries

SQL: Any = load_queries(Path(__file__).with_name("replay_queue.sql"))


async def resolve_replays(
    connection: Connection,
    stage: Stage,
    queue_ids: Sequence[UUID | None],
    effects: Sequence[tuple[UUID, Kind]] = (),
) -> None:
    """Mark rows of the replay queue as resolved, because their effect has happened, and empty their payload.

    Resolves the rows whose id is in `queue_ids`. Also resolves the rows of `stage` whose lead id and kind are
    in `effects`, except rows with `by_origin` set.
    """
    if queue_ids or effects:
        await SQL.resolve_rows(
            connection,
            stage=stage,
            queue_ids=list(queue_ids),
            lead_ids=[lead_id for lead_id, _ in effects],
            kinds=[kind for _, kind in effects],
        )
