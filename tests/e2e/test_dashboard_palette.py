"""The command palette and the keys in a real browser: by keyboard and touch, and the keys switched off."""

from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS, Size

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def post_lead(dashboard: Dashboard) -> tuple[str, str]:
    """Post a lead, wait until it is stored, and return its name and id."""
    name = f"Pal{uuid4().hex[:8]}"
    lead_id = await dashboard.post(name=name, email=f"{name}@example.com")
    sql = "SELECT 1 FROM lead_inbox WHERE id = $1"
    await eventually(lambda: dashboard.watched.installation.fetch(sql, lead_id), until=bool)
    return name, lead_id


async def test_the_palette_opens_a_page_and_a_lead_by_keyboard(dashboard: Dashboard) -> None:
    name, lead_id = await post_lead(dashboard)
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin")
        await page.keyboard.press("Control+k")
        field = page.get_by_role("combobox", name="Lead, page or action")
        await expect(field).to_be_focused()
        await visitor.check_in_both_themes()
        await page.keyboard.type("sys")
        await expect(page.locator("#palette [aria-selected=true]")).to_have_text("System status")
        await page.keyboard.press("ArrowUp")
        await expect(page.locator("#palette [aria-selected=true]")).to_contain_text("Search all leads")
        await page.keyboard.press("ArrowDown")
        option = page.locator("#palette [aria-selected=true]")
        await expect(field).to_have_attribute("aria-activedescendant", str(await option.get_attribute("id")))
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/admin/status")
        for words in (name.lower(), lead_id):
            await page.keyboard.press("Control+k")
            await page.keyboard.type(words)
            found = page.locator("#palette-leads [role=option]")
            await expect(found).to_have_attribute("aria-selected", "true", timeout=TIMEOUT_MS)
            await expect(page.locator("#palette [role=status]")).to_have_text("1 result")
            await visitor.check()
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"**/admin/ui/leads/{lead_id}")
            await expect(page.get_by_role("heading", level=1)).to_have_text(name)
            await visitor.open("/admin")
        assert not [url for url in visitor.urls if name.lower() in url.lower()], "no URL has search words"


async def test_all_leads_of_the_words_are_listed_without_them_in_the_url(dashboard: Dashboard) -> None:
    name, _ = await post_lead(dashboard)
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/audit")
        await page.keyboard.press("Control+k")
        await page.keyboard.type(name)
        await page.get_by_role("option", name="Search all leads").click()
        await page.wait_for_url("**/admin/ui/leads?search=*")
        await expect(page.locator("a.lead")).to_have_text([name], timeout=TIMEOUT_MS)
        await expect(page.get_by_label("Search", exact=True)).to_have_value(name)
        assert not [url for url in visitor.urls if name in url]
        assert visitor.problems == []


async def test_the_palette_runs_actions_of_the_page(dashboard: Dashboard) -> None:
    _, lead_id = await post_lead(dashboard)
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        await page.keyboard.press("Control+k")
        await page.keyboard.type("contac")
        await expect(page.locator("#palette [aria-selected=true]")).to_have_text("Set status to Contacted")
        await page.keyboard.press("Enter")
        await visitor.expect_toast("Contacted")
        await expect(page.locator(f"[id='status-{lead_id}']")).to_have_value("contacted")
        await visitor.wait_until_loaded()
        await page.keyboard.press("Control+k")
        await page.keyboard.type("edit")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/{lead_id}/edit")
        await page.keyboard.press("Control+k")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_the_palette_works_by_touch(dashboard: Dashboard) -> None:
    name, lead_id = await post_lead(dashboard)
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        await visitor.open("/admin")
        await page.get_by_role("button", name="Find").tap()
        await page.get_by_role("combobox", name="Lead, page or action").fill(name)
        found = page.locator("#palette-leads [role=option]")
        await expect(found).to_contain_text(name, timeout=TIMEOUT_MS)
        await visitor.check_in_both_themes()
        await found.tap()
        await page.wait_for_url(f"**/admin/ui/leads/{lead_id}")


async def test_an_error_of_the_search_is_shown_in_the_palette(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/jobs")
        await page.route("**/admin/ui/palette", lambda route: route.fulfill(status=503, body="<p>no</p>"))
        await page.keyboard.press("Control+k")
        await page.keyboard.type("ada")
        await expect(page.get_by_role("dialog")).to_contain_text("Leads cannot be searched now")


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_keys_without_ctrl_are_switched_off_and_stay_so(dashboard: Dashboard, size: Size) -> None:
    await post_lead(dashboard)
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        keys = page.get_by_role("dialog", name="Keys")
        await visitor.open("/admin/ui/leads")
        await page.keyboard.press("?")
        await visitor.check_in_both_themes()
        await keys.get_by_label("Use keys without Ctrl").uncheck()
        await keys.get_by_role("button", name="Close").click()
        await page.reload()
        for key in "/j?":
            await page.keyboard.press(key)
        await expect(page.locator("#q, a.lead").and_(page.locator(":focus"))).to_have_count(0)
        await expect(keys).to_have_count(0)
        # The way to the setting stays, by Ctrl+K too.
        await page.keyboard.press("Control+k")
        await page.keyboard.type("keys")
        await page.keyboard.press("Enter")
        await keys.get_by_label("Use keys without Ctrl").check()
        await keys.get_by_role("button", name="Close").click()
        await page.keyboard.press("/")
        await expect(page.get_by_label("Search", exact=True)).to_be_focused()
