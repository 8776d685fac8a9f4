"""`python -m tests.bench.scale.audit_partitions`: what partitioning the audit log costs and gains (ADR 0065).

Turns the log of a generated database into one table again, stores leads, partitions the log while writers
append entries, and stores leads again. Reports the processor time of a batch, and the longest write.
"""

import asyncio
import statistics
import sys
import time
from typing import Annotated, Any, Final

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from contracts.audit import AuditEvent
from deploy.cli.audit.partitioning import is_partitioned, partition_log
from runtime.database.audit_log import append_action
from tests.bench.scale.databases import Meter, metered, prepared, running_server
from tests.bench.scale.reads import measure_reads
from tests.bench.scale.writes import measure_persister

# The reverse of deploy/cli/audit/partitioning.sql, for a log whose entries are all in the first partition.
ONE_TABLE: Final = """
BEGIN;
ALTER TABLE audit_log DETACH PARTITION audit_log_from_0;
DROP TABLE audit_log;
ALTER TABLE audit_log_from_0 RENAME TO audit_log;
ALTER TABLE audit_log ALTER id ADD GENERATED ALWAYS AS IDENTITY;
SELECT setval(pg_get_serial_sequence('audit_log', 'id'), (SELECT max(id) FROM audit_log));
ALTER TABLE audit_log ADD CONSTRAINT audit_event_happens_once UNIQUE (event_id);
TRUNCATE audit_event_id;
COMMIT;
"""
ELSEWHERE: Final = "SELECT count(*) FROM audit_log WHERE tableoid <> 'audit_log_from_0'::regclass"
BATCHES: Final = 10
WRITERS: Final = 2
PAUSE_SECONDS: Final = 0.005


async def _write(url: str, stop: asyncio.Event, waits: list[float]) -> None:
    connection: Any = await asyncpg.connect(url)
    try:
        while not stop.is_set():
            began = time.perf_counter()
            await append_action(connection, AuditEvent.LEAD_RECEIVED, "bench", {})
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        await connection.close()


async def _partition(url: str, console: Console) -> tuple[float, list[float]]:
    """Partition the log beside writers. Returns how long it took, and each write, in seconds."""
    stop, waits = asyncio.Event(), list[float]()
    writers = [asyncio.create_task(_write(url, stop, waits)) for _ in range(WRITERS)]
    connection = await asyncpg.connect(url, command_timeout=3600)
    began = time.perf_counter()
    try:
        await partition_log(connection, lambda line: console.print(f"... {line}"))
        took = time.perf_counter() - began
    finally:
        await connection.close()
        stop.set()
        await asyncio.gather(*writers)
    return took, waits


async def compare(url: str, console: Console, batches: int = BATCHES, reads: int = 9) -> None:
    """Measure before and after, and print the medians. Raises `RuntimeError` if it ran before."""
    async with metered(url) as meter:
        if await is_partitioned(meter.pool):
            if await meter.pool.fetchval(ELSEWHERE):
                raise RuntimeError("an earlier run has entries in later partitions: generate the data again")
            console.print("... one table again")
            await meter.pool.execute(ONE_TABLE)
            await meter.pool.execute("VACUUM ANALYZE audit_log")
        before = await _measure(meter, batches, reads)
    took, waits = await _partition(url, console)
    async with metered(url) as meter:
        after = await _measure(meter, batches, reads)
    table = Table("", "one table", "in partitions")
    for name, value in before.items():
        table.add_row(name, f"{value:.2f}", f"{after[name]:.2f}")
    console.print(table)
    console.print(
        f"partitioned in {took:.1f} s; {len(waits)} writes beside it took"
        f" {statistics.median(waits) * 1000:.1f} ms (median) and {max(waits) * 1000:.0f} ms at most"
    )


async def _measure(meter: Meter, batches: int, reads: int) -> dict[str, float]:
    figure, log = await measure_persister(meter, batches)
    found = {
        "a batch of 500 leads, ms of processor time": figure.processor,
        "write-ahead log of a lead, bytes": log,
    }
    for each in await measure_reads(meter, reads, "audit", lambda _: None):
        found[f"{each.name}, ms"] = each.processor
    return found


def main(
    leads: Annotated[int, typer.Option(help="Of the database whose log is partitioned.")] = 1_000_000,
    server: Annotated[str, typer.Option(help="A superuser's URL of a server on this machine.")] = "",
) -> None:
    """Compare the audit log in one table with the log in partitions, and partition it beside writers."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    with running_server(server) as at:
        asyncio.run(compare(prepared(at, leads, console), console))


if __name__ == "__main__":
    typer.run(main)
