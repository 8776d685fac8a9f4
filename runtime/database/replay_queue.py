"""Marks rows of `replay_queue` as resolved. `services.flusher` has the other functions of the queue."""

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

    Call it after a lead was stored or its email was sent, because a retry would then have no effect. Two
    groups of rows are resolved:

    - the rows whose id is in `queue_ids`
    - the rows of `stage` whose (lead id, kind) is in `effects`, except rows with `by_origin`, which are for
      one Kafka record
    """
    if queue_ids or effects:
        await SQL.resolve_rows(
            connection,
            stage=stage,
            queue_ids=list(queue_ids),
            lead_ids=[lead_id for lead_id, _ in effects],
            kinds=[kind for _, kind in effects],
        )
