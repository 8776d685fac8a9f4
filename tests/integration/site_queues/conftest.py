"""A fake website and gateway, and a flusher that imports from them."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.site_queues.clients import open_site_queues
from services.flusher.site_queues.site_queue_import import SiteQueueImport
from tests.support.services.flusher import Clock, retry_scheduler_of
from tests.support.services.site_queues import SiteQueueFlusher
from tests.support.wait import eventually
from tests.support.web.websites import FakeSites, fake_sites


@pytest.fixture
async def web() -> AsyncIterator[FakeSites]:
    async with fake_sites() as made:
        yield made


@pytest.fixture
async def flusher(kafka: Kafka, postgres: Postgres, web: FakeSites) -> AsyncIterator[SiteQueueFlusher]:
    clock = Clock()
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(postgres, "test"))
        sites = await stack.enter_async_context(open_site_queues(web.url, [web.site]))
        jobs = await stack.enter_async_context(
            retry_scheduler_of(kafka, postgres, clock, deliver=sites.deliver)
        )

        async def connected() -> bool:  # a poll before that sends nothing
            return jobs._publisher.connected

        await eventually(connected, what="the producer")
        pull = SiteQueueImport(pool, JobRuns(pool, clock), sites, "*/5 * * * *", clock)
        yield SiteQueueFlusher(pull, jobs, clock, web)
