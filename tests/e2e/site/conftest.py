"""The environment that all tests of the website share."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from deploy.embedded.servers.standalone import free_ports
from tests.faults.injections.proxy import Proxy
from tests.support.services.installation import INGEST_TOKEN, running_installation
from tests.support.stack import Stack
from tests.support.web.browser import running_browser
from tests.support.web.site import QUEUE_TOKEN, Site, build
from tests.support.web.site_environment import SiteEnvironment


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def environment(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SiteEnvironment]:
    await asyncio.to_thread(build)
    wire = Proxy(target_port=0)
    folder = tmp_path_factory.mktemp("site")
    site = Site(
        free_ports(1)[0],
        folder,
        {"FASTCORE_URL": f"http://127.0.0.1:{wire.port}", "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN},
    )
    await wire.start()
    await site.start()  # the flusher is ready once it has seen the queue
    async with (
        running_browser() as browser,
        running_installation(
            stack,
            folder,
            FASTCORE_SITE_QUEUE_URL=site.queue_url,
            FASTCORE_SITE_QUEUE_TOKEN=QUEUE_TOKEN,
            FASTCORE_FLUSHER_GATEWAY_URL=f"http://127.0.0.1:{wire.port}",
        ) as fastcore,
    ):
        wire.target_port = httpx.URL(fastcore.url).port or 0
        yield SiteEnvironment(site, wire, fastcore, browser)
        site.kill()
        await wire.stop()
