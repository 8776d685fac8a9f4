"""`python -m tests.bench.bulk`: one action on 100,000 of a million leads, while the system keeps working.

Meanwhile leads arrive at a fixed rate through the gateway, and a person opens pages. The same load runs
before the action, for comparison. All of it happens in a copy of the large database, which is deleted at the
end.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import httpx
import psutil
import typer
from rich.console import Console
from rich.table import Table

from contracts.leads import EXAMPLE
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import running_kafka
from runtime.settings import Kafka
from tests.bench.environment import TOKEN
from tests.bench.inputs.large_database import Size, large_database
from tests.bench.measure import percentile
from tests.support.services.processes import ServiceProcess, processes

COPY: Final = "bench_bulk"
PAGES: Final = ("/admin/leads", "/admin/leads?status_filter=won&sort=name", "/admin/views", "/admin/bulk")
LOOK_SECONDS: Final = 0.5


@dataclass
class Load:
    """What was measured during one phase: times in milliseconds, and the largest memory in MB."""

    seconds: float = 0
    changed: int = 0
    pages: list[float] = field(default_factory=list)
    posts: list[float] = field(default_factory=list)
    stored: list[float] = field(default_factory=list)
    admin_mb: float = 0


def _p95(times: list[float]) -> float:
    return percentile(times, 0.95) if times else 0


@contextmanager
def _copy_of(url: str) -> Iterator[str]:
    """Copy the database of a URL, and return the URL of the copy."""
    parts = urlsplit(url)

    async def run(*statements: str) -> None:
        connection = await asyncpg.connect(urlunsplit(parts._replace(path="/postgres")), command_timeout=600)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    drop = f'DROP DATABASE IF EXISTS "{COPY}" WITH (FORCE)'
    asyncio.run(run(drop, f'CREATE DATABASE "{COPY}" TEMPLATE "{parts.path[1:]}"'))
    try:
        yield urlunsplit(parts._replace(path=f"/{COPY}"))
    finally:
        asyncio.run(run(drop))


async def _post_leads(client: httpx.AsyncClient, rate: float, load: Load) -> None:
    """Post leads at a rate until cancelled. A time begins when the lead was due."""
    begun, number = time.perf_counter(), 0

    async def send(due: float) -> None:
        lead = EXAMPLE | {"email": f"{uuid4().hex}@example.com", "request_id": uuid4().hex}
        answer = await client.post("/inbound/leads", json=lead)
        answer.raise_for_status()
        load.posts.append(1000 * (time.perf_counter() - due))

    async with asyncio.TaskGroup() as group:
        while True:
            due = begun + number / rate
            await asyncio.sleep(max(0, due - time.perf_counter()))
            group.create_task(send(due))
            number += 1


async def _open_pages(client: httpx.AsyncClient, admin: ServiceProcess, load: Load) -> None:
    """Open pages of the admin service, one after the other, until cancelled."""
    assert admin.process
    process = psutil.Process(admin.process.pid)
    while True:
        for page in PAGES:
            began = time.perf_counter()
            answer = await client.get(page)
            answer.raise_for_status()
            load.pages.append(1000 * (time.perf_counter() - began))
            load.admin_mb = max(load.admin_mb, process.memory_full_info().uss / 1e6)
            await asyncio.sleep(LOOK_SECONDS)


async def _measure(
    url: str, services: dict[str, ServiceProcess], rate: float, order: dict[str, Any] | None, seconds: float
) -> Load:
    """Run the load until the action is finished, or for some seconds without an action."""
    load = Load()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connection = await asyncpg.connect(url)
    since = await connection.fetchval("SELECT clock_timestamp()")
    async with (
        httpx.AsyncClient(base_url=services["admin"].url, headers=headers, timeout=60) as admin,
        httpx.AsyncClient(base_url=services["ingest"].url, headers=headers, timeout=60) as gateway,
    ):
        tasks = [
            asyncio.create_task(_post_leads(gateway, rate, load)),
            asyncio.create_task(_open_pages(admin, services["admin"], load)),
        ]
        began = time.perf_counter()
        if order is None:
            await asyncio.wait(tasks, timeout=seconds)
        else:
            load.changed = await _act(admin, tasks, order, seconds)
        load.seconds = time.perf_counter() - began
        for task in tasks:
            if task.done():
                await task  # raises what ended it
            task.cancel()
    rows = await connection.fetch(
        "SELECT extract(epoch FROM stored_at - created_at_utc) * 1000 AS ms FROM lead_inbox"
        " WHERE created_at_utc >= $1",
        since,
    )
    load.stored = [float(row["ms"]) for row in rows]
    await connection.close()
    return load


async def _act(
    admin: httpx.AsyncClient, load: list["asyncio.Task[None]"], order: dict[str, Any], seconds: float
) -> int:
    """Start the action and wait for its end; cancel it after some seconds. Return the leads with a result."""
    preview = (await admin.post("/admin/bulk?dry_run=true", json=order)).raise_for_status().json()
    started = await admin.post(f"/admin/bulk?expected={preview['leads']}", json=order)
    bulk = started.raise_for_status().json()["bulk"]
    until = time.perf_counter() + seconds
    while bulk["state"] == "running" and not any(task.done() for task in load):
        await asyncio.sleep(LOOK_SECONDS)
        answer = await admin.get(f"/admin/bulk/{bulk['id']}")
        bulk = answer.raise_for_status().json()["bulk"]
        if time.perf_counter() > until:
            await admin.delete(f"/admin/bulk/{bulk['id']}")
            break
    done: int = bulk["done"]
    return done


def _report(loads: dict[str, Load], console: Console) -> None:
    table = Table("", *loads)

    def row(name: str, value: Callable[[Load], float], digits: int = 0) -> None:
        table.add_row(name, *(f"{value(load):,.{digits}f}" for load in loads.values()))

    row("leads with a result", lambda load: load.changed)
    row("duration, seconds", lambda load: load.seconds)
    row("leads a second", lambda load: load.changed / load.seconds)
    row("page, ms, median", lambda load: statistics.median(load.pages))
    row("page, ms, 95 %", lambda load: _p95(load.pages))
    row("gateway, ms, median", lambda load: statistics.median(load.posts))
    row("gateway, ms, 95 %", lambda load: _p95(load.posts))
    row("until stored, ms, median", lambda load: statistics.median(load.stored))
    row("until stored, ms, 95 %", lambda load: _p95(load.stored))
    row("leads stored", lambda load: len(load.stored))
    row("memory of admin, MB", lambda load: load.admin_mb)
    console.print(table)


async def _run(url: str, rate: float, seconds: float, console: Console) -> dict[str, Load]:
    loads: dict[str, Load] = {}
    connection = await asyncpg.connect(url)
    until = await connection.fetchval(
        "SELECT created_at_utc FROM lead_inbox ORDER BY created_at_utc OFFSET 100000 LIMIT 1"
    )
    await connection.close()
    oldest = {"until": until.isoformat()}
    orders: dict[str, dict[str, Any] | None] = {
        "no action": None,
        "status": {"action": "status", "new_status": "contacted", "filter": oldest},
        "erase": {"action": "erase", "filter": oldest},
    }
    with tempfile.TemporaryDirectory() as name, running_kafka(Path(name) / "kafka") as kafka:
        settings = Kafka(bootstrap_servers=kafka.bootstrap_servers)
        await provision(settings)
        environment = {
            "DEBUG": "true",
            "LOG_LEVEL": "WARNING",
            "DATABASE_URL": url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
            "FASTCORE_ADMIN_TOKEN": TOKEN,
            "FASTCORE_INGEST_LEADS_PER_IP_PER_HOUR": "0",
        }
        with processes(Path(name), environment, "ingest", "persister", "admin") as services:
            for service in services.values():
                await service.ready(60)
            for what, order in orders.items():
                console.print(f"{what} …")
                loads[what] = await _measure(url, services, rate, order, seconds if order else 30)
    return loads


def main(
    leads: Annotated[int, typer.Option(help="Of the database.")] = 1_000_000,
    rate: Annotated[float, typer.Option(help="Leads a second through the gateway.")] = 25,
    seconds: Annotated[float, typer.Option(help="Cancel an action after so many seconds.")] = 3600,
    url: Annotated[str, typer.Option(help="A superuser's URL of a server, as for tests.bench.admin.")] = "",
) -> None:
    """Measure one action on 100,000 leads beside the usual load."""
    console = Console()
    with large_database(Size(leads), console, url) as urls, _copy_of(urls.superuser) as copy:
        _report(asyncio.run(_run(copy, rate, seconds, console)), console)


if __name__ == "__main__":
    typer.run(main)
