"""The dashboard in a real browser while the server or the database is unavailable."""

import re
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.stack import Stack
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS

pytestmark = pytest.mark.asyncio(loop_scope="session")
# Triggers the polls at once.
POLL = "htmx.trigger(document.body, 'pagevisible')"


async def test_a_page_stays_while_the_server_is_unreachable(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/jobs")
        note = page.get_by_role("alert").filter(has_text="cannot reach the server")
        await expect(note).to_be_hidden()
        await page.context.set_offline(True)
        await page.evaluate(POLL)
        await expect(note).to_be_visible()
        await expect(page.get_by_text("Automatic retries")).to_be_visible()
        await page.context.set_offline(False)
        await page.evaluate(POLL)
        await expect(note).to_be_hidden()


async def test_pages_report_an_unavailable_database_and_recover(dashboard: Dashboard, stack: Stack) -> None:
    lead_id = await dashboard.post(email=f"{uuid4().hex[:10]}@example.com")
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        await visitor.open("/admin/status")
        # Other tests leave failures behind, so look only for the database.
        database = page.get_by_role("listitem").filter(has_text=re.compile(r"^\s*Database: "))
        await expect(page.locator("#h-health")).to_be_visible(timeout=2 * TIMEOUT_MS)
        await expect(database).to_have_count(0)
        async with stack.database_unavailable(dashboard.watched.installation.database):
            await expect(database.first).to_be_visible(timeout=2 * TIMEOUT_MS)
            await expect(page.get_by_role("heading", name="Service disruption")).to_be_visible()
            # A slow count stays in the cache for longer.
            await expect(page.get_by_text("The database is unavailable", exact=True)).to_be_visible(
                timeout=3 * TIMEOUT_MS
            )
            await visitor.open(f"/admin/ui/leads/{lead_id}")
            await expect(page.get_by_role("heading", name="Temporarily unavailable")).to_be_visible()
            await visitor.open("/admin")
            await expect(page.get_by_text("Not available now.")).to_have_count(2, timeout=TIMEOUT_MS)
            visitor.problems.clear()  # the browser reports each 503
            await visitor.check()
        timeline = page.get_by_role("region", name="Activity")

        async def has_recovered() -> bool:
            await visitor.open(f"/admin/ui/leads/{lead_id}")
            return await timeline.is_visible()

        await eventually(has_recovered, every=0.5, what="the lead's page")
        await visitor.open("/admin/status")
        await expect(page.locator("#h-health")).to_be_visible(timeout=2 * TIMEOUT_MS)
        await expect(database).to_have_count(0, timeout=2 * TIMEOUT_MS)
