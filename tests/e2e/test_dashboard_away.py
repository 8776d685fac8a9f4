"""The dashboard in a real browser while something is away: it says so, and comes back by itself."""

import re
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.browser import PATIENCE_MS
from tests.support.stack import Stack
from tests.support.wait import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
# What a poll waits for, so that no test waits for a poll.
SEEN = "htmx.trigger(document.body, 'seen')"


async def test_a_page_keeps_what_it_shows_while_the_service_is_away(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/jobs")
        note = page.get_by_role("alert").filter(has_text="does not answer")
        await expect(note).to_be_hidden()
        await page.context.set_offline(True)
        await page.evaluate(SEEN)
        await expect(note).to_be_visible()
        await expect(page.get_by_text("Replay queue")).to_be_visible()
        await page.context.set_offline(False)
        await page.evaluate(SEEN)
        await expect(note).to_be_hidden()


async def test_the_pages_say_that_the_database_is_away_and_show_all_again_when_it_is_back(
    dashboard: Dashboard, stack: Stack
) -> None:
    lead_id = await dashboard.post(email=f"{uuid4().hex[:10]}@example.com")
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        await visitor.open("/admin")
        # Other tests of this installation leave failures behind: what counts here is the database.
        database = page.get_by_role("listitem").filter(has_text=re.compile(r"^\s*Database: "))
        await expect(page.locator("#h-health")).to_be_visible(timeout=2 * PATIENCE_MS)
        await expect(database).to_have_count(0)
        async with stack.database_away(dashboard.watched.installation.database):
            await expect(database).to_be_visible(timeout=2 * PATIENCE_MS)
            await expect(page.get_by_role("heading", name="Service disruption")).to_be_visible()
            # A census that cost long is kept for longer.
            await expect(page.get_by_text("The database is away", exact=True)).to_be_visible(
                timeout=3 * PATIENCE_MS
            )
            await visitor.open(f"/admin/ui/leads/{lead_id}")
            await expect(page.get_by_text("so this cannot be shown")).to_be_visible()
            visitor.complaints.clear()  # the browser reports each 503
            await visitor.look()
        timeline = page.get_by_role("region", name="Timeline")

        async def tried_again() -> bool:
            await visitor.open(f"/admin/ui/leads/{lead_id}")
            return await timeline.is_visible()

        await eventually(tried_again, every=0.5, what="the lead's page")
        await visitor.open("/admin")
        await expect(page.locator("#h-health")).to_be_visible(timeout=2 * PATIENCE_MS)
        await expect(database).to_have_count(0, timeout=2 * PATIENCE_MS)
