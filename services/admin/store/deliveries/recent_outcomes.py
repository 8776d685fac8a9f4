"""Counts the deliveries that failed permanently in the last hour."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, autocommit, load_queries

_SQL: Any = load_queries(Path(__file__).with_name("recent_outcomes.sql"))


@dataclass(frozen=True)
class RecentOutcomes:
    """The number of permanent failures by stage (`dead`)."""

    dead: dict[str, int] = field(default_factory=dict)


async def count_recent_outcomes(pool: Pool) -> RecentOutcomes:
    """Count the outcomes of the last hour. Raises `DependencyUnavailable`."""
    async with autocommit(pool) as connection:
        dead = {row["stage"]: row["rows"] async for row in _SQL.recent_dead(connection)}
    return RecentOutcomes(dead)
