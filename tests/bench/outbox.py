"""`python -m tests.bench.outbox`: what the outbox costs those who change leads.

Slices with and without the trigger of the outbox alternate, so that the machine's load affects both. In each,
an admin's changes of status are made at a fixed rate, one lead per transaction, and leads are stored in the
persister's batches. A relay deletes the rows, as after their publication.
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import asyncpg
import psutil
import typer
from rich.console import Console

from contracts.audit import AuditEvent, AuditRecorded
from contracts.leads import LeadStatus
from contracts.reasons import LIMIT_REASONS
from deploy.cli.migrate import migrate
from deploy.embedded.servers.postgres import cluster_folder
from deploy.embedded.servers.standalone import running_postgres
from runtime.database.postgres import _init_connection
from services.admin.store.leads.status_changes import change_statuses
from services.persister.store import NO_COUNTS, SQL, _json
from tests.bench.measure import percentile
from tests.support.factories import lead

LEADS: Final = 20_000
BATCH: Final = 100
RELAY_SECONDS: Final = 1.0


@dataclass
class Cost:
    """What was measured with or without the outbox: times in ms, and the server's CPU time per lead in ms."""

    changes: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)
    change_cpu: list[float] = field(default_factory=list)
    batch_cpu: list[float] = field(default_factory=list)


async def _connect(url: str) -> Any:
    connection = await asyncpg.connect(url)
    await _init_connection(connection)
    return connection


async def _store(connection: Any) -> float:
    """Store a batch of leads as the persister does. Returns the time in milliseconds."""
    leads = [lead() for _ in range(BATCH)]
    entries = [
        AuditRecorded(
            event_id=uuid4(), occurred_at=datetime.now(UTC), event=AuditEvent.LEAD_RECEIVED, actor="default",
            lead_id=each.lead_id,
        )
        for each in leads
    ]  # fmt: skip
    began = time.perf_counter()
    async for _ in SQL.insert_leads(
        connection,
        leads=_json(leads),
        entries=_json(entries),
        limit_reasons=list(LIMIT_REASONS),
        stage="persister",
        **NO_COUNTS,
    ):
        pass
    return (time.perf_counter() - began) * 1000


async def _change(connection: Any, lead_id: Any) -> float:
    """Change a lead's status as the admin service does. Returns the time in milliseconds."""
    began = time.perf_counter()
    async with connection.transaction():
        row = await connection.fetchrow("SELECT * FROM lead_inbox WHERE id = $1 FOR UPDATE", lead_id)
        new = LeadStatus.PROCESSING if row["status"] != "processing" else LeadStatus.CONTACTED
        await change_statuses(connection, [row], new, "ann", {})
    return (time.perf_counter() - began) * 1000


@contextlib.asynccontextmanager
async def _relay(url: str) -> AsyncIterator[None]:
    """Delete the rows of the outbox every second, as the flusher does after their publication."""
    connection = await _connect(url)

    async def run() -> None:
        while True:
            await connection.execute("DELETE FROM lead_event_outbox")
            await asyncio.sleep(RELAY_SECONDS)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await connection.close()


def _server_cpu_ms(pid: int) -> float:
    """Return the CPU time that the server and its present backends have used."""
    total = 0
    for process in (pid, *(child.pid for child in psutil.Process(pid).children())):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{process}/schedstat").read_text().split()[0])
    return total / 1e6


async def _slice(connection: Any, pid: int, ids: Any, seconds: float, per_second: float, cost: Cost) -> None:
    began, cpu, count = time.perf_counter(), _server_cpu_ms(pid), 0
    while (now := time.perf_counter() - began) < seconds:
        await asyncio.sleep(max(0.0, count / per_second - now))
        cost.changes.append(await _change(connection, next(ids)))
        count += 1
    cost.change_cpu.append((_server_cpu_ms(pid) - cpu) / count)
    cpu, times = _server_cpu_ms(pid), list[float]()
    for _ in range(round(seconds * per_second / BATCH)):
        times.append(await _store(connection))
        await asyncio.sleep(max(0.0, BATCH / per_second - times[-1] / 1000))
    cost.batches += times
    cost.batch_cpu.append((_server_cpu_ms(pid) - cpu) / len(times) / BATCH)


async def _compare(owner: str, pid: int, turns: int, seconds: float, per_second: float) -> dict[bool, Cost]:
    connection, costs = await _connect(owner), {True: Cost(), False: Cost()}
    for _ in range(LEADS // BATCH):
        await _store(connection)
    ids = cycle([row["id"] for row in await connection.fetch("SELECT id FROM lead_inbox ORDER BY random()")])
    async with _relay(owner):
        for turn in range(2 * turns):
            # The first pair warms up; the order within a pair alternates.
            with_outbox = (turn + turn // 2) % 2 == 0
            word = "ENABLE" if with_outbox else "DISABLE"
            await connection.execute(f"ALTER TABLE lead_inbox {word} TRIGGER lead_changed")
            cost = costs[with_outbox] if turn > 1 else Cost()
            await _slice(connection, pid, ids, seconds, per_second, cost)
    await connection.close()
    return costs


def main(
    turns: Annotated[int, typer.Option(help="Slices of either kind; the first is not counted.")] = 9,
    seconds: Annotated[float, typer.Option(help="How long the changes, and then the batches, last.")] = 5,
    per_second: Annotated[float, typer.Option(help="Leads per second, of both.")] = 100,
) -> None:
    """Measure changes and batches with and without the outbox."""
    console = Console()
    with tempfile.TemporaryDirectory() as name, running_postgres(Path(name)) as server:
        asyncio.run(migrate(server.urls.owner, server.urls.service))
        pid = int((cluster_folder(Path(name)) / "data" / "postmaster.pid").read_text().split()[0])
        costs = asyncio.run(_compare(server.urls.owner, pid, turns, seconds, per_second))
    for with_outbox, title in ((False, "without the outbox"), (True, "with the outbox")):
        cost = costs[with_outbox]
        for what, times, cpu in (
            ("change of a lead", cost.changes, cost.change_cpu),
            (f"batch of {BATCH} leads", cost.batches, cost.batch_cpu),
        ):
            p95 = percentile(times, 0.95)
            console.print(
                f"{title:20} {what:20} median {statistics.median(times):6.2f} ms, 95 % {p95:6.2f} ms,"
                f" CPU of the server per lead {statistics.median(cpu):6.3f} ms",
                soft_wrap=True,
            )


if __name__ == "__main__":
    typer.run(main)
