"""The pages of the kit's README on newly generated sites: a form, in a browser, beside real services.

Run by `make site-fresh`; not collected by `make test`, which needs no package registry.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from deploy.embedded.servers.standalone import free_ports
from tests.support.services.installation import INGEST_TOKEN
from tests.support.services.processes import ROOT, ServiceProcess, processes
from tests.support.stack import Database, Stack
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS, open_window, running_browser
from tests.support.web.site import Site

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

SERVERS = {
    "next-15": "node_modules/next/dist/bin/next",
    "next-16": "node_modules/next/dist/bin/next",
    "sveltekit": "build",
    "hono": "server.js",
    "astro": "dist/server/entry.mjs",
}


@dataclass(frozen=True)
class Fresh:
    """The generated sites, the services that accept and store their leads, and a browser."""

    folder: Path
    services: dict[str, ServiceProcess]
    database: Database
    browser: Browser

    async def start(self, name: str, folder: Path) -> Site:
        site = Site(
            free_ports(1)[0],
            folder,
            {"FASTCORE_URL": self.services["ingest"].url, "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN},
            self.folder / name,
            SERVERS[name],
        )
        await site.start()
        return site

    async def status_of(self, email: str) -> str:
        """Wait until the lead is in the database, and return its status."""

        async def status() -> str | None:
            connection = await asyncpg.connect(self.database.owner)
            try:
                found: str | None = await connection.fetchval(
                    "SELECT status FROM lead_inbox WHERE email = $1 AND message = 'Please call me.'", email
                )
                return found
            finally:
                await connection.close()

        return str(await eventually(status, seconds=30, what="the lead"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fresh(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> AsyncIterator[Fresh]:
    folder = tmp_path_factory.mktemp("fresh")
    script = await asyncio.create_subprocess_exec(
        ROOT / "site/script/fresh.sh", folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(script.communicate(), 540)
    assert script.returncode == 0, said.decode()
    database, kafka = await stack.new_database(), await stack.new_topics()
    environment = {
        "DATABASE_URL": database.service,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_KAFKA_REPLICATION": "1",
        "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN,
        "DEBUG": "true",
    }
    with processes(folder, environment, "ingest", "persister") as services:
        for service in services.values():
            await service.ready(60)
        async with running_browser() as browser:
            yield Fresh(folder, services, database, browser)
    await stack.drop_database(database)


@pytest.mark.parametrize("name", SERVERS)
async def test_form_of_the_readme_stores_the_lead_of_a_visitor(
    name: str, fresh: Fresh, tmp_path: Path
) -> None:
    site = await fresh.start(name, tmp_path)
    try:
        for script in (True, False):
            email = f"grace-{uuid4().hex[:8]}@example.com"
            async with open_window(fresh.browser, site.url, java_script_enabled=script) as visitor:
                page = visitor.page
                await page.goto(f"{site.url}/contact")
                address = page.get_by_label("Email")
                await address.fill("grace@localhost")  # the browser accepts it, the kit does not
                await page.get_by_label("Message").fill("Please call me.")
                await page.get_by_role("button", name="Send").click()
                await expect(page.get_by_text("Please enter an email address")).to_be_visible()
                assert await page.get_by_label("Message").input_value() == "Please call me."
                await address.fill(email)
                await page.wait_for_timeout(2100)  # the gateway treats faster submissions as bots
                await page.get_by_role("button", name="Send").click()
                await expect(page.get_by_text("Thank you.")).to_be_visible(timeout=TIMEOUT_MS)
            assert await fresh.status_of(email) == "received"
        assert await site.depth() == 0
        assert "Error" not in site.log
    finally:
        site.kill()
