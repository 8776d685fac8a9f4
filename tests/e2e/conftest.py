"""An installation whose spans and emails the tests can inspect, and a browser for its dashboard."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from runtime.settings import Kafka
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.installation import ADMIN_TOKEN, Installation, running_installation
from tests.support.stack import Stack
from tests.support.wait import eventually
from tests.support.web.browser import Size, Theme, Visitor, open_window, running_browser
from tests.support.web.otlp_collector import Collector, running_collector
from tests.support.web.static_site import StaticSite, running_static_site


@dataclass(frozen=True)
class Watched:
    """The installation, the collector of its spans and its mail server."""

    installation: Installation
    collector: Collector
    smtp: SmtpServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def watched(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """Start the installation once per session. Tests identify their leads by id."""
    folder = tmp_path_factory.mktemp("watched")
    with running_collector() as collector:
        async with (
            smtp_server() as smtp,
            running_installation(
                stack, folder, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, SMTP_PORT=str(smtp.port)
            ) as installation,
        ):
            yield Watched(installation, collector, smtp)


@dataclass(frozen=True)
class Dashboard:
    """The dashboard of the installation, behind its edge proxy."""

    watched: Watched
    browser: Browser
    signed_in: Any  # the storage state of a signed-in window

    @property
    def url(self) -> str:
        return self.watched.installation.url

    def visit(self, size: Size = "desktop", theme: Theme = "light") -> AbstractAsyncContextManager[Visitor]:
        """Open a signed-in window."""
        return open_window(self.browser, self.url, size, theme, storage_state=self.signed_in)

    def visit_without_script(self, size: Size = "desktop") -> AbstractAsyncContextManager[Visitor]:
        """Open a signed-in window without JavaScript."""
        return open_window(
            self.browser, self.url, size, storage_state=self.signed_in, java_script_enabled=False
        )

    def visit_signed_out(self, size: Size = "desktop") -> AbstractAsyncContextManager[Visitor]:
        """Open a window without a session."""
        return open_window(self.browser, self.url, size)

    async def post(self, **fields: Any) -> str:
        """Post a lead as the website does, and return its id."""
        body = {"name": "Ada", "email": "ada@example.com", "service": "Hosting", "message": "Call me."}
        answer = await self.watched.installation.post(body | fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["leadId"])

    async def post_and_store(self, **fields: Any) -> str:
        """Post a lead, wait until it is stored, and return its id.

        A list that already shows leads counts a lead that is stored later, and does not show it.
        """
        lead_id = await self.post(**fields)

        async def is_stored() -> bool:
            answer = await self.watched.installation.admin("GET", f"/admin/leads/{lead_id}")
            return answer.status_code == 200

        await eventually(is_stored, every=0.2, seconds=60, what="the stored lead")
        return lead_id


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dashboard(watched: Watched) -> AsyncIterator[Dashboard]:
    """Start one browser per session and sign in once. Each test opens its own windows."""
    async with running_browser() as browser:
        url = watched.installation.url
        async with open_window(browser, url) as visitor:
            await visitor.sign_in(ADMIN_TOKEN)
            state = await visitor.page.context.storage_state()
        yield Dashboard(watched, browser, state)


@pytest.fixture
async def site(kafka: Kafka, tmp_path: Path) -> AsyncIterator[StaticSite]:
    """A website with forms that send to a gateway, open in a browser."""
    async with running_static_site(kafka, tmp_path) as running:
        yield running
