"""Which canaries real flushers send: one for each site and interval, whatever happens to a flusher."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from aiohttp import web

from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from runtime.sites.file import load_sites
from services.admin.monitoring.canaries import read_canaries
from services.flusher.canary.canary_client import CanaryClient
from services.flusher.canary.canary_job import JOB, CanaryJob
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import ScheduledJob
from tests.support.services.flusher import NEVER, Clock
from tests.support.services.processes import ServiceProcess
from tests.support.wait import eventually
from tests.support.web.http_server import serve

SECRET = "a secret of the tests, 32 bytes long"
STUDIO = '[sites.studio]\nform_key = "studio-4k7w9q2m"\norigins = ["https://studio.example"]\n'
SHOP = '[sites.shop]\nform_key = "shop-4k7w9q2m"\norigins = ["https://shop.example"]\n'


class Gateway:
    """Counts the posts by form, and answers each as a gateway whose Kafka works. `hangs` answers none."""

    def __init__(self) -> None:
        self.posts = Counter[str]()
        self.url = ""
        self.hangs = False

    async def answer(self, request: web.Request) -> web.Response:
        self.posts[request.path.rpartition("/")[2].partition("-")[0]] += 1
        if self.hangs:
            await asyncio.sleep(60)
        return web.json_response({}, status=201, headers={"FASTCore-Canary": "kafka"})


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    async with serve(made.answer) as made.url:
        yield made


@contextlib.asynccontextmanager
async def flusher(
    postgres: Postgres, gateway: Gateway, clock: Clock, sites: Path
) -> AsyncIterator[tuple[CanaryJob, ScheduledJob]]:
    """The canary's job of one flusher, with a pool of its own. The test polls it instead of a second."""
    async with open_pool(postgres, "test") as pool, httpx.AsyncClient(trust_env=False) as client:
        sender = CanaryClient(client, SECRET.encode(), gateway.url)
        job = CanaryJob(pool, sender, load_sites(sites), {}, clock)
        yield job, ScheduledJob(JOB, "*/5 * * * *", JobRuns(pool, clock), clock, job.run)


async def test_several_flushers_send_one_canary_per_site_and_interval(
    postgres: Postgres, db: Any, gateway: Gateway, tmp_path: Path
) -> None:
    sites, clock = tmp_path / "sites.toml", Clock()
    sites.write_text(STUDIO + SHOP)
    async with contextlib.AsyncExitStack() as stack:
        flushers = [
            await stack.enter_async_context(flusher(postgres, gateway, clock, sites)) for _ in range(3)
        ]
        for interval in range(1, 5):
            for _ in range(4):  # seconds of one interval
                await asyncio.gather(*(schedule.poll() for _, schedule in flushers))
                clock.turn(seconds=1)
            assert gateway.posts == {"studio": interval, "shop": interval}
            clock.turn(minutes=5)
    assert await db.fetchval("SELECT count(*) FROM canary") == 8


async def test_a_new_site_is_tested_at_its_first_interval(
    postgres: Postgres, db: Any, gateway: Gateway, tmp_path: Path
) -> None:
    sites, clock = tmp_path / "sites.toml", Clock()
    sites.write_text(STUDIO)
    async with flusher(postgres, gateway, clock, sites) as (job, schedule):
        await schedule.poll()
        sites.write_text(STUDIO + SHOP)
        job.apply(load_sites(sites))
        await schedule.poll()
        assert gateway.posts == {"studio": 1}
        clock.turn(minutes=5)
        await schedule.poll()
        assert gateway.posts == {"studio": 2, "shop": 1}
        sites.write_text("[sites.other]")
        job.apply(load_sites(sites))
        clock.turn(minutes=5)
        await schedule.poll()
    assert gateway.posts == {"studio": 2, "shop": 1}
    async with open_pool(postgres, "test") as pool:
        assert (await read_canaries(pool)).routes == []  # nobody waits for the sites that are gone


async def test_a_flusher_killed_after_its_posts_costs_one_canary(
    kafka: Kafka, postgres: Postgres, db: Any, gateway: Gateway, tmp_path: Path
) -> None:
    sites = tmp_path / "sites.toml"
    sites.write_text(STUDIO)
    variables = {
        "DATABASE_URL": postgres.url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "DEBUG": "true",
        "FASTCORE_SITES_FILE": str(sites),
        "FASTCORE_CANARY_SECRET": SECRET,
        "FASTCORE_CANARY_CRON": NEVER,
        "FASTCORE_CANARY_GATEWAY_URL": gateway.url,
    }

    async def results() -> set[UUID]:
        rows = await db.fetch("SELECT DISTINCT canary_id FROM canary_result WHERE hop = 'kafka' AND ok")
        return {row["canary_id"] for row in rows}

    async def posts() -> int:
        return gateway.posts["studio"]

    gateway.hangs = True
    killed, next_one = (ServiceProcess("flusher", variables, tmp_path) for _ in range(2))
    killed.start()
    try:
        await eventually(posts, seconds=60, what="the post")
    finally:
        killed.kill()
    (first,) = {row["id"] for row in await db.fetch("SELECT id FROM canary")}
    await db.execute("UPDATE canary SET sent_at = sent_at - interval '2 minutes'")
    assert await results() == set()
    gateway.hangs = False
    next_one.start()  # repeats the run at once: it has no end
    try:
        (second,) = await eventually(results, seconds=60, what="the next canary")
    finally:
        next_one.kill()
    assert second != first
    assert gateway.posts["studio"] == 2
    async with open_pool(postgres, "test") as pool:
        (route,) = (await read_canaries(pool)).routes
    # The canary of the killed flusher is the newest one that is through, and one that fails is no alert.
    assert [(hop.hop, hop.failures) for hop in route.failing] == [("flusher", 1)]
