"""The columns of the list of leads in a real browser: chosen, remembered, and left out on a phone."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_lists import many_leads, search_all
from tests.support.web.browser import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def choose(visitor: Visitor, *names: str) -> None:
    """Show exactly these columns."""
    menu = visitor.page.locator("#columns")
    await menu.get_by_text("Columns", exact=True).click()
    for box in await menu.get_by_role("checkbox").all():
        label = str(await box.evaluate("each => each.labels[0].textContent"))
        await box.set_checked(label.removesuffix(" column") in names)
    await menu.get_by_role("button", name="Show columns").click()


async def test_chosen_columns_keep_the_filters_and_the_search_words(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await search_all(visitor, tag)
        await page.get_by_role("group", name="Status").get_by_label("Won").check()
        await expect(page.get_by_role("status").first).to_contain_text("32 leads found")
        await page.locator("#columns").get_by_text("Columns", exact=True).click()
        await visitor.check_in_both_themes()
        await page.locator("#columns").get_by_text("Columns", exact=True).click()
        await choose(visitor, "Site", "Phone", "Status", "Last change")
        await expect(page.get_by_role("columnheader")).to_have_text(
            ["", re.compile("Lead"), "Site", "Phone", "Status", "Last change"]
        )
        await expect(page.get_by_role("status").first).to_contain_text("32 leads found")
        await expect(page.get_by_label("Search")).to_have_value(tag)
        await page.get_by_role("link", name="Last change").click()
        await expect(page.get_by_role("columnheader", name="Last change")).to_have_attribute(
            "aria-sort", "descending"
        )
        await visitor.check_in_both_themes()
        for width in (700, 1000, 1280):
            await page.set_viewport_size({"width": width, "height": 800})
            await visitor.check()
        await choose(
            visitor, "Company", "Service", "Site", "Phone", "Status", "Assignee", "Received", "Last change"
        )
        await expect(page.get_by_role("columnheader")).to_have_count(10)
        for width in (700, 1000, 1440):
            await page.set_viewport_size({"width": width, "height": 800})
            await visitor.check()
        await page.set_viewport_size({"width": 390, "height": 844})
        await expect(page.locator("#columns")).to_be_hidden()
        height = await page.locator("#list tbody tr").first.evaluate("row => row.offsetHeight")
        assert height < 90, "two lines, whatever was chosen"
        await visitor.check()
        assert not [url for url in visitor.urls if tag in url]


async def test_columns_are_chosen_without_a_script(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit_without_script() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}&status=won")
        menu = page.locator("#columns")
        await menu.get_by_text("Columns", exact=True).focus()
        await page.keyboard.press("Enter")
        await menu.get_by_label("Company").uncheck()
        await menu.get_by_role("button", name="Show columns").click()
        await page.wait_for_url(f"**/admin/ui/leads?status=won&service={tag}")
        await expect(page.get_by_role("columnheader", name="Company")).to_have_count(0)
        await expect(page.get_by_role("columnheader", name="Service")).to_be_visible()


async def test_seven_leads_fit_on_the_first_screen_of_a_phone(dashboard: Dashboard) -> None:
    async with many_leads(dashboard), dashboard.visit() as visitor:
        page = visitor.page
        await page.set_viewport_size({"width": 390, "height": 844})
        await visitor.open("/admin/ui/leads")
        rows = page.locator("#list tbody tr")
        await expect(rows.nth(8)).to_be_attached()
        bottom = await rows.nth(6).evaluate("row => row.getBoundingClientRect().bottom")
        assert bottom <= 844, "the seventh lead"
        await expect(page.locator("#f-service")).to_be_hidden()
        await page.get_by_text("More filters").click()
        await expect(page.locator("#f-service")).to_be_visible()
        await visitor.check()
