"""Resolves rows of `replay_queue` whose effect exists. Everything else about the queue is in the flusher."""

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
    """Mark rows of the replay queue as resolved, and empty their payload.

    These are the rows with `queue_ids`, and this stage's rows of each lead and kind in `effects`. Rows with
    `by_origin` set are only resolved by `queue_ids`.
    """
    if queue_ids or effects:
        await SQL.resolve_rows(
            connection,
            stage=stage,
            queue_ids=list(queue_ids),
            lead_ids=[lead_id for lead_id, _ in effects],
            kinds=[kind for _, kind in effects],
        )
