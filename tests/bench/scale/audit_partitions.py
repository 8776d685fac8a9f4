"""`python -m tests.bench.scale.audit_partitions`: the audit log in partitions, by month and by id (ADR 0065).

Copies the audit log of a generated database into both layouts, then inserts and reads in all three. Drops the
copies at the end.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table

from runtime.database.postgres import load_queries
from services.admin.schemas.filters import AuditFilter
from services.admin.store import audit
from services.admin.store.planning import plan_for_values
from tests.bench.scale.databases import Lap, Meter, metered, prepared, running_server

SQL: Any = load_queries(Path(__file__).with_name("audit_partitions.sql"))
LAYOUTS: Final = {
    "audit_log": "insert_into_log",
    "audit_by_month": "insert_by_month",
    "audit_by_id": "insert_by_id",
}
# The id ranges are as many as the months.
TABLES: Final = """
DROP TABLE IF EXISTS audit_by_month, audit_by_id, audit_event_id;
CREATE TABLE audit_by_month (LIKE audit_log INCLUDING DEFAULTS INCLUDING IDENTITY)
    PARTITION BY RANGE (created_at_utc);
CREATE TABLE audit_by_id (LIKE audit_log INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY RANGE (id);
CREATE TABLE audit_event_id (event_id uuid NOT NULL);
"""
KEYS: Final = """
ALTER TABLE audit_by_month ADD PRIMARY KEY (id, created_at_utc), ADD UNIQUE (event_id, created_at_utc);
ALTER TABLE audit_by_id ADD PRIMARY KEY (id);
ALTER TABLE audit_event_id ADD PRIMARY KEY (event_id);
"""
INDEXES: Final = """
CREATE INDEX ON {table} (event, created_at_utc DESC);
CREATE INDEX ON {table} (lead_id, created_at_utc);
CREATE INDEX ON {table} (request_id);
CREATE INDEX ON {table} (created_at_utc DESC, id DESC);
CREATE INDEX ON {table} (actor, event, created_at_utc DESC, id DESC);
SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM audit_log));
"""
ROUNDS: Final = 8
BATCH: Final = 500
READS: Final = 40


async def _build(meter: Meter, say: Callable[[str], None]) -> None:
    run = meter.pool.execute
    await run("SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
    await run(TABLES)
    months = [row async for row in SQL.months(meter.pool)]
    for row in months:
        name = f"audit_by_month_{row['month']:%Y_%m}"
        await run(
            f"CREATE TABLE {name} PARTITION OF audit_by_month"
            f" FOR VALUES FROM ('{row['month']}') TO ('{row['next']}')"
        )
    ids = await SQL.id_range(meter.pool)
    step = (ids["last"] - ids["first"]) // len(months) + 1
    for place in range(len(months)):
        first = ids["first"] + place * step
        # The last one also takes the entries of this measurement.
        last = "MAXVALUE" if place == len(months) - 1 else first + step
        await run(
            f"CREATE TABLE audit_by_id_{place} PARTITION OF audit_by_id FOR VALUES FROM ({first}) TO ({last})"
        )
    for step_name in ("fill_by_month", "fill_by_id", "fill_event_ids"):
        say(step_name)
        await getattr(SQL, step_name)(meter.pool)
    say("indexes")
    await run(KEYS)
    for table in ("audit_by_month", "audit_by_id"):
        await run(INDEXES.format(table=table))
    await run("VACUUM ANALYZE")
    await run("RESET synchronous_commit; CHECKPOINT")


def _entries() -> str:
    now = datetime.now(UTC).isoformat()
    return json.dumps(
        [
            {
                "event_id": str(uuid4()), "event": "lead.received", "actor": "default", "status_code": 201,
                "details_json": {"site": "default", "topic": "leads.received.v1", "offset": 12},
                "lead_id": str(uuid4()), "request_id": uuid4().hex, "created_at_utc": now,
            }
            for _ in range(BATCH)
        ]
    )  # fmt: skip


async def _inserts(meter: Meter, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Insert batches into the layouts in turns. Returns the times and the WAL bytes per entry."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in LAYOUTS}
    for turn in range(rounds):
        for name in list(LAYOUTS)[:: 1 if turn % 2 else -1]:
            entries = _entries()
            before = await meter.pool.fetchval("SELECT pg_current_wal_insert_lsn()")
            lap = Lap(meter)
            rows = [row async for row in getattr(SQL, LAYOUTS[name])(meter.pool, entries=entries)]
            processor, _ = lap.end(BATCH)
            assert len(rows) == BATCH
            wal = await meter.pool.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)", before)
            found[name].append((processor * 1000, float(wal) / BATCH))
    return found


async def _reads(meter: Meter, reads: int) -> dict[str, dict[str, float]]:
    """Run the audit log's queries in each layout in turns. Returns the median processor time in ms."""
    leads = await meter.pool.fetch(
        "SELECT lead_id, request_id FROM audit_log WHERE lead_id IS NOT NULL ORDER BY lead_id LIMIT $1", reads
    )
    queries: dict[str, Sequence[dict[str, Any]]] = {
        "newest first": [{}] * reads,
        "a lead": [{"lead_id": row["lead_id"]} for row in leads],
        "a request": [{"request_id": row["request_id"]} for row in leads],
        "an event": [{"event": "email.unknown"}] * reads,
        "an actor": [{"actor": "erik"}] * reads,
    }
    found: dict[str, dict[str, float]] = {name: {} for name in queries}
    for what, filters in queries.items():
        times: dict[str, list[float]] = {name: [] for name in LAYOUTS}
        for values in filters:
            for table in LAYOUTS:
                times[table].append(await _read(meter, table, values))
        found[what] = {table: statistics.median(each[2:]) for table, each in times.items()}
    return found


async def _read(meter: Meter, table: str, values: dict[str, Any]) -> float:
    """List entries with the service's own query, on another table."""
    entries = AuditFilter(**values)
    meter.statements.clear()
    await audit.AuditLog(meter.pool).list_entries(entries)
    (ran,) = [each for each in meter.statements if "FROM audit_log" in each.query]
    async with meter.pool.acquire() as connection, connection.transaction():
        await plan_for_values(connection)
        lap = Lap(meter)
        await connection.fetch(ran.query.replace("audit_log", table), *ran.args)
        return lap.end()[0]


async def _timed(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


async def _detach(meter: Meter) -> dict[str, float]:
    """Return how long the steps of an archive take, in milliseconds."""
    run = meter.pool.execute
    (part, *_) = [
        row[0]
        for row in await meter.pool.fetch(
            "SELECT relid::text FROM pg_partition_tree('audit_by_month') WHERE isleaf"
            " ORDER BY pg_relation_size(relid) DESC"
        )
    ]
    return {
        "validate the CHECK for the existing table": await _timed(
            run(
                "ALTER TABLE audit_log ADD CONSTRAINT bench_first CHECK (created_at_utc < '2100-01-01Z')"
                " NOT VALID; ALTER TABLE audit_log VALIDATE CONSTRAINT bench_first"
            )
        ),
        "drop it": await _timed(run("ALTER TABLE audit_log DROP CONSTRAINT bench_first")),
        "detach the largest month": await _timed(
            run(f"ALTER TABLE audit_by_month DETACH PARTITION {part} CONCURRENTLY")
        ),
        "drop the detached table": await _timed(run(f"DROP TABLE {part}")),
    }  # fmt: skip


async def compare(url: str, console: Console, rounds: int = ROUNDS, reads: int = READS) -> None:
    """Build the copies, insert and read in turns, print the medians, and drop the copies."""
    async with metered(url) as meter:
        await _build(meter, lambda text: console.print(f"... {text}"))
        inserted = await _inserts(meter, rounds)
        await meter.pool.execute("VACUUM audit_log, audit_by_month, audit_by_id, audit_event_id")
        read = await _reads(meter, reads)
        table = Table("", *LAYOUTS)
        for place, what in enumerate(("insert an entry, us", "the same, bytes of WAL")):
            medians = [statistics.median(each[place] for each in inserted[name]) for name in LAYOUTS]
            table.add_row(what, *(f"{each:.0f}" for each in medians))
        for what, times in read.items():
            table.add_row(f"{what}, ms", *(f"{times[name]:.2f}" for name in LAYOUTS))
        console.print(table)
        for what, ms in (await _detach(meter)).items():
            console.print(f"{what}: {ms:.0f} ms")
        await meter.pool.execute("DROP TABLE audit_by_month, audit_by_id, audit_event_id")


def main(
    leads: Annotated[int, typer.Option(help="Of the database whose audit log is copied.")] = 1_000_000,
    server: Annotated[str, typer.Option(help="A superuser's URL of a server on this machine.")] = "",
) -> None:
    """Compare the audit log in one table with two layouts in partitions."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    with running_server(server) as at:
        asyncio.run(compare(prepared(at, leads, console), console))


if __name__ == "__main__":
    typer.run(main)
