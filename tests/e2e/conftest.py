"""An installation that is watched: its spans go to a collector, its mails to a server that can refuse.

A browser stands before its dashboard.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import Size, Theme, Visitor, running_browser, visiting
from tests.support.installation import ADMIN_TOKEN, Installation, running_installation
from tests.support.otlp_collector import Collector, running_collector
from tests.support.smtp import SmtpServer, smtp_server
from tests.support.stack import Stack


@dataclass(frozen=True)
class Watched:
    """The installation, and what watches it."""

    installation: Installation
    collector: Collector
    smtp: SmtpServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def watched(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """Started once a session; tests tell their leads apart by their ids."""
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
    """The dashboard of the watched installation, seen through the edge."""

    watched: Watched
    browser: Browser
    signed_in: Any  # the cookies of somebody who signed in

    @property
    def url(self) -> str:
        return self.watched.installation.url

    def visit(self, size: Size = "desktop", theme: Theme = "light") -> AbstractAsyncContextManager[Visitor]:
        """Open a window that is signed in."""
        return visiting(self.browser, self.url, size, theme, storage_state=self.signed_in)

    def visit_without_script(self) -> AbstractAsyncContextManager[Visitor]:
        """Open a window that is signed in and runs no script."""
        return visiting(self.browser, self.url, storage_state=self.signed_in, java_script_enabled=False)

    def visit_unknown(self, size: Size = "desktop") -> AbstractAsyncContextManager[Visitor]:
        """Open a window that is not."""
        return visiting(self.browser, self.url, size)

    async def post(self, **fields: Any) -> str:
        """Post a lead as the website does; return its id."""
        body = {"name": "Ada", "email": "ada@example.com", "service": "Hosting", "message": "Call me."}
        answer = await self.watched.installation.post(body | fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["leadId"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dashboard(watched: Watched) -> AsyncIterator[Dashboard]:
    """One browser a session, signed in once; each test has windows of its own."""
    async with running_browser() as browser:
        url = watched.installation.url
        async with visiting(browser, url) as visitor:
            await visitor.sign_in(ADMIN_TOKEN)
            state = await visitor.page.context.storage_state()
        yield Dashboard(watched, browser, state)
