"""Reads the counts of the replay queue and of the ledger from one database snapshot.

The counts of the large tables are exact and fast to read, because triggers update them with each change of a
row.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from contracts.failures import Stage
from runtime.database.postgres import Pool, load_queries, snapshot
from services.admin.monitoring.ledger import LedgerCounts, TopicCounts, compare
from services.admin.schemas.ledger import Books
from services.admin.schemas.system import StageQueue

_SQL: Any = load_queries(Path(__file__).with_name("queue_counts.sql"))
STATES: Final = ("waiting", "replaying", "resolved", "dead", "archived")


@dataclass(frozen=True)
class QueueCounts:
    """The counts of the replay queue by stage, and the ledger (`books`), from one database snapshot.

    `at` is the time of the snapshot. `dead_notifications` are those to the team that failed permanently.
    """

    at: datetime
    dead_notifications: int
    stages: list[StageQueue]
    books: Books


async def count_queue(pool: Pool) -> QueueCounts:
    """Return the counts of the queue and the ledger, from one snapshot. Raises `DependencyUnavailable`."""
    async with snapshot(pool) as connection:
        at = await _SQL.snapshot_time(connection)
        counted = [row async for row in _SQL.count_rows(connection)]
        open_rows = {row["stage"]: row async for row in _SQL.count_due(connection)}
        controls = {row["stage"]: row async for row in _SQL.list_stage_controls(connection)}
        ledger = tuple([TopicCounts(**dict(row)) async for row in _SQL.sum_ledger(connection)])
        dead_notifications: int = await _SQL.count_dead_notifications(connection)
        unpublished = await _SQL.count_outbox(connection)
    queue = [row for row in counted if row["table_name"] == "replay_queue"]
    leads = [row for row in counted if row["table_name"] == "lead_inbox"]
    outbox = _states_of(counted, "lead_event_outbox")
    books = compare(
        LedgerCounts(
            topics=ledger,
            # Without the tombstones of leads that were erased before their record was stored.
            leads=sum(row["rows"] for row in leads if row["made_by"] == "persister"),
            queue=_rows_by_state(queue),
            queue_by_others=sum(row["rows"] for row in queue if row["made_by"] != "flusher"),
            emails=_states_of(counted, "email_delivery"),
            deliveries=_states_of(counted, "webhook_delivery"),
            deliveries_wanted=_states_of(counted, "webhook_event").get("wanted", 0),
            changes_written=outbox.get("written", 0),
            changes_published=-outbox.get("published", 0),
            changes_waiting=unpublished,
        )
    )
    stages = []
    for stage in get_args(Stage):
        rows = [row for row in queue if row["stage"] == stage]
        stages.append(_stage_queue(stage, rows, open_rows.get(stage), controls.get(stage), at))
    return QueueCounts(at, dead_notifications, stages, books)


async def find_wrong_counts(pool: Pool) -> list[str]:
    """Compare the triggers' counts with all rows, and return a text for each count that differs.

    Scans whole tables. Raises `DependencyUnavailable`.
    """
    async with snapshot(pool) as connection:
        return [
            f"{row['table_name']} {row['state']}: {row['difference']:+}"
            async for row in _SQL.recount_rows(connection)
        ]


def _states_of(rows: list[Any], table: str) -> dict[str, int]:
    return {row["state"]: row["rows"] for row in rows if row["table_name"] == table}


def _rows_by_state(rows: list[Any]) -> dict[str, int]:
    states = Counter[str](dict.fromkeys(STATES, 0))
    for row in rows:
        states[row["state"]] += row["rows"]
    return dict(states)


def _stage_queue(stage: str, rows: list[Any], open_rows: Any, control: Any, at: datetime) -> StageQueue:
    oldest = open_rows["oldest_open_at"] if open_rows else None
    return StageQueue(
        stage=stage,
        **_rows_by_state(rows),
        due=open_rows["due"] if open_rows else 0,
        oldest_open_at=oldest,
        oldest_open_age_seconds=max(0.0, (at - oldest).total_seconds()) if oldest else None,
        paused=bool(control and control["paused"]),
        pause_reason=control["reason"] if control else None,
    )
