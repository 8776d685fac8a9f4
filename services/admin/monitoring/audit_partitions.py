"""Counts the partitions that the audit log lacks, for the metrics."""

from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, load_queries, snapshot

_SQL: Any = load_queries(Path(__file__).with_name("audit_partitions.sql"))


async def count_missing_partitions(pool: Pool) -> int:
    """Return how many of the two empty partitions ahead are missing. 0 if the log is one table.

    Raises `DependencyUnavailable`.
    """
    async with snapshot(pool) as connection:
        missing: int = await _SQL.count_missing(connection)
    return missing
