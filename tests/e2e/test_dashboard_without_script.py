"""Every page in a browser without scripts: it shows its data, and each control works."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_pages import PAGES, start_replay
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("size", SIZES)
async def test_regression_no_page_waits_for_a_script_or_has_dead_buttons(
    dashboard: Dashboard, size: Size
) -> None:
    lead_id, replay_id = await dashboard.post(), await start_replay(dashboard)
    async with dashboard.visit_without_script(size) as visitor:
        page = visitor.page
        for path in PAGES:
            await visitor.open(path.format(lead=lead_id, replay=replay_id))
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.get_by_text("Loading…")).to_have_count(0)
            assert not visitor.problems
            for button in await page.locator("button:visible").all():
                assert await button.get_attribute("type") == "submit", await button.inner_text()
                assert (
                    await button.get_attribute("form") or await button.locator("xpath=ancestor::form").count()
                )
            for link in await page.locator("a[href^='#']:visible").all():
                target = page.locator(str(await link.get_attribute("href")))
                await expect(target).to_have_count(1)


async def test_overview_and_status_without_scripts_show_the_state(dashboard: Dashboard) -> None:
    async with dashboard.visit_without_script() as visitor:
        page = visitor.page
        await visitor.open("/admin")
        await expect(page.locator("#h-health")).to_be_visible(timeout=TIMEOUT_MS)
        await expect(page.get_by_role("heading", name="New today")).to_be_visible()
        await expect(page.locator(".column title").last).to_contain_text(":")
        await page.get_by_role("link", name="7 days").click()
        await expect(page.locator(".column")).to_have_count(7)
        await visitor.open("/admin/status")
        await expect(page.locator("#h-health")).to_be_visible(timeout=TIMEOUT_MS)
        await expect(page.get_by_role("heading", name="Consumer lag")).to_be_visible()
        assert not visitor.problems  # axe needs scripts


async def test_a_dialog_opens_and_closes_without_scripts(dashboard: Dashboard) -> None:
    async with dashboard.visit_without_script("phone") as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/workbench")
        dialog = page.locator("#flush-dialog")
        await expect(dialog).to_be_hidden()
        await page.get_by_role("button", name="Retry all pending").click()
        await expect(dialog).to_be_visible()
        assert not visitor.problems  # axe needs scripts
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(dialog).to_be_hidden()
        await page.get_by_role("button", name="Retry all pending").click()
        await dialog.get_by_role("button", name="Retry").click()
        await expect(page.get_by_role("heading", name="Failed deliveries")).to_be_visible()
