"""Saved views in a real browser: save, open, rename, delete; two windows; a long name on a phone."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_filters import expect_leads, one_of_each_status
from tests.support.services.installation import ADMIN_TOKEN
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
LONG = "Äußerst lange Ansicht für Donaudampfschifffahrtsgesellschaft"[:60]


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def no_views(dashboard: Dashboard) -> AsyncIterator[None]:
    """Delete the views that a test has saved."""
    yield
    await dashboard.watched.installation.fetch("DELETE FROM lead_view")


def bar(visitor: Visitor) -> Locator:
    return visitor.page.get_by_role("navigation", name="Views")


async def save_view(visitor: Visitor, name: str, *, shared: bool = False) -> None:
    """Save the filters of the list under a name."""
    await visitor.page.get_by_role("button", name="Save view").click()
    await visitor.page.get_by_label("Name", exact=True).fill(name)
    if shared:
        await visitor.page.get_by_label("For the whole team").check()
    await visitor.page.locator("#save-view").get_by_role("button", name="Save view").click()
    await expect(bar(visitor).get_by_role("link", name=name)).to_have_attribute("aria-current", "page")


@pytest.mark.parametrize("size", SIZES)
async def test_a_view_is_saved_opened_renamed_and_deleted(dashboard: Dashboard, size: Size) -> None:
    async with one_of_each_status(dashboard) as tag, dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        if size == "phone":
            await page.get_by_text("More filters").click()
        await page.get_by_role("group", name="Status").get_by_label("Won").check()
        await expect_leads(visitor, tag, "won")
        await page.get_by_role("button", name="Save view").click()
        await expect(page.get_by_label("Name", exact=True)).to_be_focused()
        await visitor.check_in_both_themes()
        await page.keyboard.press("Escape")
        await save_view(visitor, "Won of the week")
        assert "Won" not in page.url
        await visitor.check_in_both_themes()
        # Another filter leaves the view, and the view brings its filters back.
        if size == "phone" and await page.locator("#more-filters").get_attribute("open") is None:
            await page.get_by_text("More filters").click()
        await page.get_by_role("group", name="Status").get_by_label("Lost").check()
        await expect_leads(visitor, tag, "won", "lost")
        link = bar(visitor).get_by_role("link", name="Won of the week")
        await expect(link).not_to_have_attribute("aria-current", "page")
        await expect(link).to_contain_text("1", timeout=3 * TIMEOUT_MS)
        await link.click()
        await expect_leads(visitor, tag, "won")
        await bar(visitor).get_by_role("link", name="Manage views").click()
        await page.get_by_text("Rename or delete").click()
        await visitor.check_in_both_themes()
        await page.get_by_label("Name of Won of the week").fill("Winners")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="Winners")).to_be_visible()
        await page.get_by_text("Rename or delete").click()
        await page.get_by_role("button", name="Delete Winners").click()
        await expect(page.get_by_role("dialog")).to_contain_text("No lead is deleted")
        await visitor.check_in_both_themes()
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Delete Winners").click()
        await page.get_by_role("button", name="Delete view").click()
        await expect(page.get_by_text("No saved views yet")).to_be_visible()
        await visitor.check()


@pytest.mark.parametrize("size", SIZES)
async def test_the_filters_of_a_view_are_replaced(dashboard: Dashboard, size: Size) -> None:
    async with one_of_each_status(dashboard) as tag, dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}&status=won")
        await save_view(visitor, "Decided")
        await visitor.open(f"/admin/ui/leads?service={tag}&status=won&status=lost&sort=name")
        await page.get_by_role("button", name="Save view").click()
        for _ in range(2):  # a second Enter replaces nothing
            await page.get_by_label("Name", exact=True).fill("decided")
            await page.get_by_label("Name", exact=True).press("Enter")
            await expect(page.get_by_role("alert")).to_contain_text("You have a view with this name")
            visitor.problems.clear()  # the console reports the 409
            await visitor.check_in_both_themes()
        await page.get_by_role("button", name="Replace view").click()
        await expect(bar(visitor).get_by_role("link", name="Decided")).to_have_attribute(
            "aria-current", "page"
        )
        await expect_leads(visitor, tag, "won", "lost")
        await page.wait_for_url(re.compile("sort=name"))
        await expect(bar(visitor).get_by_role("link", name="Decided")).to_have_count(1)


@pytest.mark.parametrize("size", SIZES)
async def test_a_long_name_fits_every_screen(dashboard: Dashboard, size: Size) -> None:
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads?status=lost")
        await save_view(visitor, LONG)
        await visitor.open("/admin/ui/leads?status=lost&site=x")
        await save_view(visitor, "W" * 60, shared=True)
        await visitor.check_in_both_themes()
        await visitor.open("/admin/ui/views")
        for summary in await page.get_by_text("Rename or delete").all():
            await summary.click()
        await visitor.check_in_both_themes()


async def test_a_view_deleted_in_another_window_is_gone_in_this_one(dashboard: Dashboard) -> None:
    async with one_of_each_status(dashboard) as tag, dashboard.visit() as one, dashboard.visit() as two:
        await one.open(f"/admin/ui/leads?service={tag}&status=lost")
        await save_view(one, "Lost ones")
        await two.open("/admin/ui/views")
        await one.open("/admin/ui/views")
        for visitor in (one, two):
            await visitor.page.get_by_text("Rename or delete").click()
            await visitor.page.get_by_role("button", name="Delete Lost ones").click()
        await one.page.get_by_role("button", name="Delete view").click()
        await expect(one.page.get_by_text("No saved views yet")).to_be_visible()
        await two.page.get_by_role("button", name="Delete view").click()
        await expect(two.page.get_by_text("It may have been deleted")).to_be_visible()
        two.problems.clear()  # the console reports the 404


async def test_a_poll_shows_a_view_that_a_colleague_has_saved(dashboard: Dashboard) -> None:
    name = f"Team {uuid4().hex[:6]}"
    async with dashboard.visit() as one, dashboard.visit() as two:
        await two.open("/admin/ui/leads")
        await one.open("/admin/ui/leads?status=won")
        await save_view(one, name, shared=True)
        await two.page.evaluate("htmx.trigger(document.body, 'pagevisible')")
        await expect(bar(two).get_by_role("link", name=name)).to_be_visible()
        await bar(two).get_by_role("link", name=name).focus()
        await two.page.evaluate("htmx.trigger(document.body, 'pagevisible')")
        await two.wait_until_loaded()
        await expect(bar(two).get_by_role("link", name=name)).to_be_focused()
        await expect(bar(two).get_by_role("link", name="All leads")).to_have_attribute("aria-current", "page")
        await two.check()


async def test_the_days_of_a_view_are_the_viewer_s(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads")
        await page.get_by_role("link", name="Yesterday").click()
        await page.wait_for_url(re.compile("received=yesterday&zone=Asia"))
        await save_view(visitor, "Of yesterday")
        await visitor.open("/admin/ui/leads")
        await bar(visitor).get_by_role("link", name="Of yesterday").click()
        await page.wait_for_url(re.compile("received=yesterday&zone=Asia"))
        await visitor.open("/admin/ui/leads?received=yesterday&zone=Europe/Berlin")
        link = bar(visitor).get_by_role("link", name="Of yesterday")
        await expect(link).to_have_attribute("aria-current", "page")


async def test_views_work_without_a_script(dashboard: Dashboard) -> None:
    async with one_of_each_status(dashboard) as tag, dashboard.visit_without_script("phone") as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}&status=lost&status=won")
        await page.get_by_label("Search").fill("ada@example.com")
        await page.get_by_role("button", name="Search").click()
        await save_view(visitor, "Closed")
        await expect_leads(visitor, tag, "lost", "won")
        await expect(bar(visitor).get_by_role("link", name="Closed")).to_contain_text("2")
        await expect(page.get_by_label("Search")).to_have_value("")
        await bar(visitor).get_by_role("link", name="Manage views").click()
        await page.get_by_text("Rename or delete").click()
        await page.get_by_role("button", name="Delete Closed").click()
        await page.get_by_role("button", name="Delete view").click()
        await expect(page.get_by_text("No saved views yet")).to_be_visible()


async def test_a_signed_out_visitor_sees_no_view(dashboard: Dashboard) -> None:
    async with dashboard.visit_signed_out() as visitor:
        await visitor.page.goto(f"{visitor.url}/admin/ui/views")
        await visitor.page.get_by_label("Admin token").fill(ADMIN_TOKEN)
        await visitor.page.get_by_role("button", name="Sign in").click()
        await visitor.page.wait_for_url("**/admin/ui/views")
