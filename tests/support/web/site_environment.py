"""The example website, a whole installation and the network between them, with a browser."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from playwright.async_api import Browser, Page, expect

from tests.faults.injections.proxy import Proxy
from tests.support.services.installation import Installation
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS, Size, open_window
from tests.support.web.site import Site

THANKS = "Your message has arrived"


@dataclass(frozen=True)
class SiteEnvironment:
    """A website, an installation, the proxy between them, and a browser."""

    site: Site
    wire: Proxy
    fastcore: Installation
    browser: Browser

    @contextlib.asynccontextmanager
    async def visit(self, size: Size = "desktop", **options: Any) -> AsyncIterator[Page]:
        """Open the form as a visitor with a unique IP address."""
        address = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
        async with open_window(
            self.browser, self.site.url, size, extra_http_headers={"X-Forwarded-For": address}, **options
        ) as visitor:
            await visitor.open("/contact")
            yield visitor.page

    async def lead(self, email: str) -> Any:
        found = await self.fastcore.fetch("SELECT * FROM lead_inbox WHERE email = $1", email)
        assert len(found) <= 1, "a lead is stored more than once"
        return found[0] if found else None

    async def stored(self, email: str) -> Any:
        return await eventually(lambda: self.lead(email), seconds=60, what="the lead")

    async def mailed(self, lead_id: Any) -> list[str]:
        """Wait for both mails, and return their recipients."""

        async def mails() -> list[str]:
            found = await self.fastcore.mails()
            return sorted(each["to"][0] for each in found if str(lead_id) in each["message_id"])

        return await eventually(mails, until=lambda found: len(found) == 2, seconds=60, what="both mails")

    async def flush(self) -> None:
        answer = await self.fastcore.admin("POST", "/admin/queue/flush")
        assert answer.status_code == 202, answer.text

    async def reported_queue(self) -> Any:
        """Return the state of the website's queue from the admin service."""
        stats = (await self.fastcore.admin("GET", "/admin/queue/stats")).json()
        return next((each for each in stats["site_queues"] or [] if each["site"] == "default"), None)

    async def stop_fastcore(self) -> None:
        await self.wire.stop()
        await asyncio.gather(*(each.stop() for each in self.fastcore.services.values()))

    async def start_fastcore(self) -> None:
        await self.wire.heal()
        for each in self.fastcore.services.values():
            each.start()
        for each in self.fastcore.services.values():
            await each.ready(90)


def new_email() -> str:
    return f"grace-{uuid4().hex[:8]}@example.com"


async def fill(page: Page, email: str, **changes: str) -> None:
    fields = {"Your name": "Grace Hopper", "Email": email, "Your message": "Please call me.", **changes}
    for label, value in fields.items():
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_label("What is it about?").select_option("Website")
    await page.get_by_label("You may store what I wrote").check()


async def press_send(page: Page) -> None:
    await page.get_by_role("button", name="Send").click()


async def is_thanked(page: Page) -> None:
    await expect(page.get_by_text(THANKS)).to_be_visible(timeout=TIMEOUT_MS)


async def send(page: Page, email: str) -> tuple[datetime, datetime]:
    """Submit the form and wait for the confirmation; return the times before and after."""
    await fill(page, email)
    await page.wait_for_timeout(2100)  # the gateway treats faster submissions as bots
    before = datetime.now(UTC)
    await press_send(page)
    await is_thanked(page)
    return before, datetime.now(UTC)
