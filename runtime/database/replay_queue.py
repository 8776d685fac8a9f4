"""Resolves rows of `replay_queue` that need no retry any more. The flusher contains the rest of the queue."""

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
    """Mark rows of the replay queue as resolved, and empty their payloads.

    Call it after a lead was stored or its email was sent, because a retry would then have no effect. Resolves
    the rows whose id is in `queue_ids`, and the rows of `stage` whose (lead id, kind) is in `effects`.
    `effects` resolves no row with `by_origin` set: such a row stands for one Kafka record, not for a lead.
    """
    if queue_ids or effects:
        await SQL.resolve_rows(
            connection,
            stage=stage,
            queue_ids=list(queue_ids),
            lead_ids=[lead_id for lead_id, _ in effects],
            kinds=[kind for _, kind in effects],
        )
