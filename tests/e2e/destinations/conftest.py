"""An installation with destinations, and a browser that is signed in to its dashboard."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.services.connected import Connected, running_connected
from tests.support.services.installation import ADMIN_TOKEN
from tests.support.stack import Stack
from tests.support.wait import eventually
from tests.support.web.browser import Size, Visitor, open_window, running_browser


@dataclass(frozen=True)
class Opened:
    """The installation with destinations, and a browser that is signed in to its dashboard."""

    connected: Connected
    browser: Browser
    signed_in: Any

    def visit(self, size: Size = "desktop", **options: Any) -> AbstractAsyncContextManager[Visitor]:
        """Open a signed-in window."""
        url = self.connected.installation.url
        return open_window(self.browser, url, size, storage_state=self.signed_in, **options)

    async def post(self) -> str:
        """Post a lead, wait until it is stored, and return its id."""
        email = f"{uuid4().hex[:10]}@example.com"
        response = await self.connected.installation.post({"name": "Ada", "email": email, "message": "Hi"})
        lead_id = str(response.json()["leadId"])

        async def is_stored() -> bool:
            answer = await self.connected.installation.admin("GET", f"/admin/leads/{lead_id}")
            return answer.status_code == 200

        await eventually(is_stored, every=0.2, seconds=60, what="the stored lead")
        return lead_id

    async def wait_for_states(self, lead_id: str, **states: str) -> None:
        """Wait until the deliveries of a lead's first event to these destinations are in these states."""

        async def found() -> dict[str, str]:
            answer = await self.connected.installation.admin("GET", f"/admin/leads/{lead_id}/deliveries")
            return {each["destination"]: each["state"] for each in answer.json()["deliveries"][::-1]}

        await eventually(found, until=lambda now: now | states == now, seconds=60, what=f"{states}")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def opened(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opened]:
    async with (
        running_connected(stack, tmp_path_factory.mktemp("connected")) as connected,
        running_browser() as browser,
    ):
        async with open_window(browser, connected.installation.url) as visitor:
            await visitor.sign_in(ADMIN_TOKEN)
            state = await visitor.page.context.storage_state()
        yield Opened(connected, browser, state)
