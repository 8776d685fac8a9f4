"""New leads while somebody reads the list: a line counts them, and nothing moves until they are shown."""

import re
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_lists import many_leads, search_all
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
POLL = "htmx.trigger(document.body, 'pagevisible')"
INSERT = """
INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256,
                        created_at_utc)
SELECT gen_random_uuid(), 'r', 'site', 'new@example.com', $1, 'received', $1 || ' new', '', repeat('0', 64),
       now()
FROM generate_series(1, $2)
"""


async def poll(visitor: Visitor) -> int:
    """Poll the list, and return the status of the response."""
    async with visitor.page.expect_response(
        lambda response: response.url.endswith("/admin/ui/leads")
    ) as answer:
        await visitor.page.evaluate(POLL)
    await visitor.wait_until_loaded()
    return (await answer.value).status


async def polls_unchanged(visitor: Visitor) -> bool:
    """Return True if one of three polls has no body. The first may bring a relative time that moved on."""
    return 204 in [await poll(visitor) for _ in range(3)]


@pytest.mark.parametrize("size", SIZES)
async def test_new_leads_are_counted_and_shown_on_request(dashboard: Dashboard, size: Size) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit(size) as visitor:
        page, fetch = visitor.page, dashboard.watched.installation.fetch
        await visitor.open(f"/admin/ui/leads?service={tag}")
        first = page.locator("#list a.lead").first
        await expect(first).to_have_text(f"{tag} 1")
        top = await first.bounding_box()
        assert await polls_unchanged(visitor)
        await expect(page.locator("#new-leads")).to_be_empty()
        await fetch(INSERT, tag, 3)
        await poll(visitor)
        await expect(page.locator("#new-leads")).to_contain_text("3 new leads")
        await expect(first).to_have_text(f"{tag} 1")
        await expect(page.get_by_role("status").first).to_contain_text("65 leads")
        assert await polls_unchanged(visitor)
        moved = await first.bounding_box()
        assert top
        assert moved
        assert moved["y"] - top["y"] < 80, "only the line came above the list"
        await visitor.check_in_both_themes()
        # A changed status is shown, and the line keeps the focus.
        show = page.get_by_role("button", name="Show")
        await show.focus()
        await fetch("UPDATE lead_inbox SET status = 'lost' WHERE name = $1", f"{tag} 1")
        await fetch(INSERT, tag, 1)
        await poll(visitor)
        await expect(page.locator("#new-leads")).to_contain_text("4 new leads")
        await expect(page.get_by_label(f"Status of {tag} 1", exact=True)).to_have_value("lost")
        await expect(show).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(first).to_have_text(f"{tag} new")
        await expect(page.locator("#new-leads")).to_be_empty()
        await expect(page.locator("#list")).to_be_focused()
        await expect(page.get_by_role("status").first).to_contain_text("69 leads")
        assert visitor.documents == ["/admin/ui/leads"]
        await visitor.check()


async def test_new_leads_of_a_search_are_shown_with_its_words(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await search_all(visitor, tag)
        await dashboard.watched.installation.fetch(INSERT, tag, 1)
        await poll(visitor)
        await expect(page.locator("#new-leads")).to_contain_text("1 new lead")
        # Other filters begin anew.
        await page.get_by_role("group", name="Status").get_by_label("New").check()
        await expect(page.locator("#list a.lead").first).to_have_text(f"{tag} new")
        await expect(page.locator("#new-leads")).to_be_empty()
        assert not [url for url in visitor.urls if tag in url]


async def test_an_empty_list_shows_its_first_lead_at_once(dashboard: Dashboard) -> None:
    tag = f"first{uuid4().hex[:8]}"
    async with dashboard.visit() as visitor:
        await visitor.open(f"/admin/ui/leads?service={tag}")
        await dashboard.post(name=f"Nina {tag}", email="nina@example.com", service=tag)
        row = visitor.page.get_by_role("link", name=f"Nina {tag}")
        await expect(row).to_be_visible(timeout=2 * TIMEOUT_MS)
        assert visitor.documents == ["/admin/ui/leads"]


async def test_older_pages_do_not_change(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}&sort=name")
        await dashboard.watched.installation.fetch(INSERT, tag, 2)
        await poll(visitor)
        await expect(page.locator("#new-leads")).to_contain_text("2 new leads")
        await page.get_by_role("link", name="Older").click()
        await page.wait_for_url(re.compile("cursor="))
        await expect(page.locator("#new-leads")).to_be_empty()
        assert await page.locator("#list").get_attribute("hx-post") is None
