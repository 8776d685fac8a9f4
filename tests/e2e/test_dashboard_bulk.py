"""Many leads at once in a real browser: selection, progress and results; filters, keys and held leads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS, Size

pytestmark = pytest.mark.asyncio(loop_scope="session")
INSERT = """
INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256, assignee,
                        created_at_utc)
SELECT gen_random_uuid(), 'r', $1, $1 || n || '@example.com', $1, $2, $1 || ' ' || n, '', repeat('0', 64),
       CASE WHEN n = 2 THEN 'bob' END, '2020-05-05T20:00Z'::timestamptz - n * interval '1 minute'
FROM generate_series(1, 12) AS n
"""


@asynccontextmanager
async def leads_of(dashboard: Dashboard, status: str = "received") -> AsyncIterator[str]:
    """Store twelve leads of a service and site, which is also a word of their names, and yield it."""
    tag, installation = f"bulk{uuid4().hex[:8]}", dashboard.watched.installation
    await installation.fetch(INSERT, tag, status)
    try:
        yield tag
    finally:
        await installation.fetch("DELETE FROM lead_inbox WHERE service = $1", tag)


async def statuses(dashboard: Dashboard, tag: str) -> dict[str, int]:
    sql = "SELECT status, count(*) AS n FROM lead_inbox WHERE service = $1 GROUP BY 1"
    return {row["status"]: row["n"] for row in await dashboard.watched.installation.fetch(sql, tag)}


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_ten_selected_leads_are_contacted_in_one_action(dashboard: Dashboard, size: Size) -> None:
    async with leads_of(dashboard) as tag, dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        boxes = page.locator(".selectable input[name=ids]")
        for number in range(10):
            await boxes.nth(number).check()
        await expect(page.get_by_text("10 selected")).to_be_visible()
        await visitor.check()
        await page.get_by_role("button", name="Set status").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Set status to Contacted: 10 leads?")
        section = page.get_by_role("navigation", name="Main").get_by_role("link", name="Leads")
        await expect(section).to_have_attribute("aria-current", "true")
        await visitor.check()
        await page.get_by_role("button", name="Set status to Contacted").click()
        await expect(page.get_by_text("All 10 leads done")).to_be_visible(timeout=TIMEOUT_MS)
        await visitor.check_in_both_themes()
        await visitor.open(f"/admin/ui/leads?service={tag}")
        for box in await boxes.all():
            await box.check()
        await page.get_by_role("button", name="Set status").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Set status to Contacted: 2 leads?")
        await expect(page.get_by_text("Already so").locator("..")).to_have_text("10 Already so")
        assert await statuses(dashboard, tag) == {"contacted": 10, "received": 2}


async def test_all_leads_that_match_are_erased_after_their_number_is_typed(dashboard: Dashboard) -> None:
    async with leads_of(dashboard) as tag, dashboard.visit_without_script() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        await page.get_by_label(f"Select {tag} 1", exact=True).check()
        await page.get_by_label(f"Select {tag} 2", exact=True).check()
        await page.get_by_role("button", name="Delete data").click()
        await page.get_by_label("Type 2 to confirm").fill("3")
        await page.get_by_role("button", name="Delete personal data").click()
        await expect(page.get_by_role("alert")).to_contain_text("Nothing was deleted")
        await page.get_by_label("Type 2 to confirm").fill("2")
        await page.get_by_role("button", name="Delete personal data").click()
        erased = (
            "SELECT count(*) AS n FROM audit_log WHERE event = 'lead.erased' AND lead_id = ANY($1::uuid[])"
        )
        rows = await dashboard.watched.installation.fetch(
            "SELECT lead_id FROM bulk_change_item JOIN bulk_change ON id = bulk_id WHERE action = 'erase'"
        )
        ids = [row["lead_id"] for row in rows]
        await eventually(
            lambda: dashboard.watched.installation.fetch(erased, ids), until=lambda found: found[0]["n"] == 2
        )


async def test_filters_are_chips_in_the_url_and_orders_sort_the_list(dashboard: Dashboard) -> None:
    async with leads_of(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?site={tag}&assignee=bob&sort=name")
        await expect(page.locator("a.lead")).to_have_text([f"{tag} 2"])
        await page.get_by_role("link", name="Remove the filter Assignee: bob").click()
        await expect(page.locator("a.lead")).to_have_count(12)
        await expect(page.locator("a.lead").first).to_have_text(f"{tag} 1")
        assert "assignee" not in page.url
        await visitor.open(f"/admin/ui/leads?site={tag}&sort=oldest&rows=50")
        await expect(page.locator("a.lead").first).to_have_text(f"{tag} 12")
        await visitor.open(f"/admin/ui/leads?site={tag}&waiting=24&assignee=@nobody")
        await expect(page.locator("a.lead")).to_have_count(11)
        await visitor.check_in_both_themes()


async def test_keys_move_select_and_open_leads(dashboard: Dashboard) -> None:
    async with leads_of(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        for key in "jjx":
            await page.keyboard.press(key)
        await expect(page.get_by_label(f"Select {tag} 2", exact=True)).to_be_checked()
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        await visitor.check()
        await page.keyboard.press("Escape")
        await page.keyboard.press("/")
        await expect(page.get_by_label("Search")).to_be_focused()
        await page.keyboard.type("x?")
        await expect(page.get_by_label("Search")).to_have_value("x?")


async def test_held_leads_of_a_site_are_released_after_a_confirmation(dashboard: Dashboard) -> None:
    async with leads_of(dashboard, "held") as tag, dashboard.visit("phone") as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/held")
        await visitor.check_in_both_themes()
        await page.get_by_role("button", name=f"Release all of {tag}").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"Release: 12 held leads of {tag}?")
        await visitor.check()
        await page.get_by_role("button", name="Release and send confirmations").click()
        await expect(page.get_by_text(f"12 leads of {tag}: New.")).to_be_visible()
        assert await statuses(dashboard, tag) == {"received": 12}
        await dashboard.watched.installation.fetch(
            "DELETE FROM replay_queue USING lead_inbox WHERE lead_id = lead_inbox.id AND service = $1", tag
        )
