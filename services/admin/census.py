"""Counts the queue and the books in one database snapshot. Reads only; what it means is ledger.py's."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from contracts.failures import Stage
from runtime.postgres import Pool, load_queries, snapshot
from services.admin import readings
from services.admin.ledger import Books, Counts, Page, balance

SQL: Any = load_queries(Path(__file__).with_name("census.sql"))
STATES: Final = ("waiting", "replaying", "resolved", "dead", "archived")


@dataclass(frozen=True)
class Census:
    """What the database holds at one moment."""

    at: datetime
    stages: list[readings.StageQueue]
    books: Books


async def take_census(pool: Pool) -> Census:
    """Count everything as of one moment. Raises `WorldAway`."""
    async with snapshot(pool) as connection:
        at = await SQL.snapshot_time(connection)
        queue = [row async for row in SQL.count_queue(connection)]
        controls = {row["stage"]: row async for row in SQL.list_stage_controls(connection)}
        pages = tuple([Page(**dict(row)) async for row in SQL.sum_pages(connection)])
        leads = await SQL.count_inbox(connection)
        emails = {row["state"]: row["rows"] async for row in SQL.count_emails(connection)}
    states = Counter[str](dict.fromkeys(STATES, 0))
    for row in queue:
        states[row["state"]] += row["rows"]
    counts = Counts(
        pages=pages,
        leads=leads,
        queue=dict(states),
        queue_by_others=sum(row["rows"] for row in queue if row["made_by"] != "flusher"),
        emails=emails,
    )
    stages = [
        _stage(stage, [row for row in queue if row["stage"] == stage], controls.get(stage), at)
        for stage in get_args(Stage)
    ]
    return Census(at, stages, balance(counts))


def _stage(stage: str, rows: list[Any], control: Any, at: datetime) -> readings.StageQueue:
    states = Counter[str]()
    for row in rows:
        states[row["state"]] += row["rows"]
    oldest = min((row["oldest_open_at"] for row in rows if row["oldest_open_at"]), default=None)
    return readings.StageQueue(
        stage=stage,
        **{state: states[state] for state in STATES},
        due=sum(row["due"] for row in rows),
        oldest_open_at=oldest,
        oldest_open_age_seconds=max(0.0, (at - oldest).total_seconds()) if oldest else None,
        paused=bool(control and control["paused"]),
        pause_reason=control["reason"] if control else None,
    )
