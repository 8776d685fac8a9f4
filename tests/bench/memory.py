"""Memory: compares each service's peak after many leads with its peak after the first ones.

A peak is the largest unique set size of a process, measured twice a second. wrk posts leads to the gateway,
the persister stores them, and a client reads the admin's pages all the time. The flusher gets a failure for
every hundredth lead, because it works only on failures. The notifier has topics of its own, and fewer leads:
a mail costs more than a row.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final
from uuid import uuid4

import asyncpg
import httpx
import psutil

from contracts import topics
from runtime.settings import Kafka
from tests.bench import notifier
from tests.bench.environment import TOKEN, BenchEnvironment, program, started_together
from tests.bench.inputs.load import accepted_a_second, need_wrk
from tests.bench.measure import Limit, Result
from tests.support.factories import lead, post, producer
from tests.support.services.flusher import failure
from tests.support.services.processes import ServiceProcess

NAMES: Final = ("ingest", "persister", "flusher", "admin")
LOOK_SECONDS: Final = 0.5
LOAD_SECONDS: Final = 2
WAIT_SECONDS: Final = 900.0
ONE_FAILS_IN: Final = 100
PAGES: Final = ("/admin/leads", "/admin/queue/stats", "/admin/audit", "/admin/queue/items")

Peaks = dict[str, float]


@contextlib.asynccontextmanager
async def _watched(processes: dict[str, ServiceProcess]) -> AsyncIterator[Peaks]:
    """Record the peak memory of each process in MB while the block lasts."""
    peaks: Peaks = {}

    async def watch() -> None:
        while True:
            for name, each in processes.items():
                assert each.process
                now = psutil.Process(each.process.pid).memory_full_info().uss / 1e6
                peaks[name] = max(peaks.get(name, 0), now)
            await asyncio.sleep(LOOK_SECONDS)

    task = asyncio.create_task(watch())
    try:
        yield peaks
    finally:
        task.cancel()


async def _count(url: str, sql: str, at_least: int) -> None:
    connection = await asyncpg.connect(url)
    async with asyncio.timeout(WAIT_SECONDS):
        while await connection.fetchval(sql) < at_least:  # noqa: ASYNC110 - rows notify nobody
            await asyncio.sleep(LOOK_SECONDS)
    await connection.close()


async def _read_pages(url: str) -> None:
    """Read dashboard pages like a user, until cancelled."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        while True:
            for page in PAGES:
                (await client.get(page)).raise_for_status()
                await asyncio.sleep(LOOK_SECONDS / 2)


async def _post(url: str, kafka: Kafka, leads: int) -> None:
    """Post at least this many leads, and publish one failure for each hundred."""
    posted = 0.0
    while posted < leads:
        rate = await accepted_a_second(url, LOAD_SECONDS)
        posted += rate * LOAD_SECONDS
        async with producer(kafka) as sender:
            for number in range(int(rate * LOAD_SECONDS) // ONE_FAILS_IN):
                await sender.send(
                    kafka.topic_prefix + topics.FAILED.name,
                    key=str(uuid4()).encode(),
                    value=b"{}",
                    headers=failure(number).to_headers([]),
                )


async def _leads(bench: BenchEnvironment, few: int, many: int) -> tuple[Peaks, Peaks]:
    kafka, database = await bench.stack.new_topics(), await bench.stack.new_database()
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": bench.stack.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "DATABASE_URL": database.service,
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        "FASTCORE_ADMIN_TOKEN": TOKEN,
        "FASTCORE_INGEST_SPOOL_FOLDER": str(bench.folder / "spool-memory"),
    }
    async with contextlib.AsyncExitStack() as running:
        services = await running.enter_async_context(
            started_together(*(program(bench, name, environment) for name in NAMES))
        )
        started = dict(zip(NAMES, services, strict=True))
        peaks = await running.enter_async_context(_watched(started))
        asking = asyncio.create_task(_read_pages(started["admin"].url))
        await _post(started["ingest"].url, kafka, few)
        await _count(database.owner, "SELECT count(*) FROM lead_inbox", few)
        first = dict(peaks)
        await _post(started["ingest"].url, kafka, many - few)
        await _count(database.owner, "SELECT count(*) FROM lead_inbox", many)
        assert not asking.done(), asking.exception()
        asking.cancel()
    await bench.stack.drop_topics(kafka)
    await bench.stack.drop_database(database)
    return first, peaks


async def _mails(bench: BenchEnvironment, few: int, many: int) -> tuple[Peaks, Peaks]:
    kafka, database = await bench.stack.new_topics(), await bench.stack.new_database()
    async with notifier.running_sink() as port:
        environment = notifier.environment(bench, port) | {
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "DATABASE_URL": database.service,
        }
        await post(kafka, *(lead() for _ in range(many)))
        async with (
            program(bench, "notifier", environment) as process,
            _watched({"notifier": process}) as peaks,
        ):
            sent = "SELECT count(*) FROM email_delivery WHERE state = 'sent'"
            await _count(database.owner, sent, 2 * few)
            first = dict(peaks)
            await _count(database.owner, sent, 2 * many)
    await bench.stack.drop_topics(kafka)
    await bench.stack.drop_database(database)
    return first, peaks


async def compare(bench: BenchEnvironment) -> list[Result]:
    """Process few leads, then many. It runs once, because a peak never decreases."""
    need_wrk()
    few, many = (5_000, 20_000) if bench.quick else (10_000, 60_000)
    few_mailed, many_mailed = (1_000, 2_000) if bench.quick else (2_000, 10_000)
    bench.say(f"memory: {many:,} leads, and {many_mailed:,} for the notifier")
    first, last = await _leads(bench, few, many)
    first_mailing, last_mailing = await _mails(bench, few_mailed, many_mailed)
    counts = dict.fromkeys(NAMES, (few, many)) | {"notifier": (few_mailed, many_mailed)}
    ours, reference = last | last_mailing, first | first_mailing
    return [
        Result(
            f"memory of {name}, peak at {most:,} leads", f"itself at {least:,}", "MB",
            [ours[name]], [reference[name]], Limit(at_most=1.2),
        )
        for name, (least, most) in counts.items()
    ]  # fmt: skip
