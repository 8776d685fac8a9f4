"""Counts the events in the outbox, for the metrics: the changes of leads that are not in Kafka yet."""

from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, autocommit, load_queries

_SQL: Any = load_queries(Path(__file__).with_name("outbox_counts.sql"))


async def count_outbox(pool: Pool) -> tuple[int, float]:
    """Return the number of unpublished events, and the age of the oldest in seconds (0 if there is none).

    Raises `DependencyUnavailable`.
    """
    async with autocommit(pool) as connection:
        row = await _SQL.count_outbox(connection)
    return row["rows"], row["oldest_seconds"]
