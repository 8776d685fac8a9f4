"""Counts the queue and the books in one database snapshot. Reads only; what it means is ledger.py's.

The rows of the large tables are counted by triggers as they change, so that this is exact and quick.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from contracts.failures import Stage
from runtime.database.postgres import Pool, load_queries, snapshot
from services.admin.monitoring.ledger import Books, Counts, Page, balance
from services.admin.schemas import system as system_schemas

SQL: Any = load_queries(Path(__file__).with_name("queue_counts.sql"))
STATES: Final = ("waiting", "replaying", "resolved", "dead", "archived")


@dataclass(frozen=True)
class Census:
    """What the database holds at one moment."""

    at: datetime
    stages: list[system_schemas.StageQueue]
    books: Books


async def take_census(pool: Pool) -> Census:
    """Count everything as of one moment. Raises `DependencyUnavailable`."""
    async with snapshot(pool) as connection:
        at = await SQL.snapshot_time(connection)
        counted = [row async for row in SQL.count_rows(connection)]
        open_rows = {row["stage"]: row async for row in SQL.count_due(connection)}
        controls = {row["stage"]: row async for row in SQL.list_stage_controls(connection)}
        pages = tuple([Page(**dict(row)) async for row in SQL.sum_pages(connection)])
    queue = [row for row in counted if row["table_name"] == "replay_queue"]
    states = Counter[str](dict.fromkeys(STATES, 0))
    for row in queue:
        states[row["state"]] += row["rows"]
    counts = Counts(
        pages=pages,
        # Without the tombstones of leads that no record brought.
        leads=sum(
            row["rows"]
            for row in counted
            if row["table_name"] == "lead_inbox" and row["made_by"] == "persister"
        ),
        queue=dict(states),
        queue_by_others=sum(row["rows"] for row in queue if row["made_by"] != "flusher"),
        emails={row["state"]: row["rows"] for row in counted if row["table_name"] == "email_delivery"},
    )
    stages = [
        _stage(
            stage,
            [row for row in queue if row["stage"] == stage],
            open_rows.get(stage),
            controls.get(stage),
            at,
        )
        for stage in get_args(Stage)
    ]
    return Census(at, stages, balance(counts))


async def recount(pool: Pool) -> list[str]:
    """Return the counts that differ from the rows. Scans whole tables. Raises `DependencyUnavailable`."""
    async with snapshot(pool) as connection:
        return [
            f"{row['table_name']} {row['state']}: {row['difference']:+}"
            async for row in SQL.recount_rows(connection)
        ]


def _stage(stage: str, rows: list[Any], opened: Any, control: Any, at: datetime) -> system_schemas.StageQueue:
    states = Counter[str]()
    for row in rows:
        states[row["state"]] += row["rows"]
    oldest = opened["oldest_open_at"] if opened else None
    return system_schemas.StageQueue(
        stage=stage,
        **{state: states[state] for state in STATES},
        due=opened["due"] if opened else 0,
        oldest_open_at=oldest,
        oldest_open_age_seconds=max(0.0, (at - oldest).total_seconds()) if oldest else None,
        paused=bool(control and control["paused"]),
        pause_reason=control["reason"] if control else None,
    )
