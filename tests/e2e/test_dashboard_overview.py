"""The overview in a real browser: its chart by mouse, touch and keyboard, and its table."""

import pytest
from playwright.async_api import Locator, expect

from tests.e2e.conftest import Dashboard
from tests.support.web.browser import TIMEOUT_MS, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_chart(visitor: Visitor, key: str) -> tuple[Locator, Locator]:
    """Open the overview and return its chart and the chart's tooltip."""
    await visitor.open(f"/admin?range={key}")
    plot = visitor.page.locator(".plot")
    await expect(plot).to_be_visible(timeout=2 * TIMEOUT_MS)
    return plot, plot.locator(".tip")


async def test_the_chart_is_read_by_keyboard_mouse_and_table(dashboard: Dashboard) -> None:
    await dashboard.post()
    async with dashboard.visit() as visitor:
        page = visitor.page
        plot, tip = await open_chart(visitor, "7")
        bars = plot.locator(".column")
        await expect(bars).to_have_count(7)
        today, before = [str(await bars.last.get_attribute(f"data-{name}")) for name in ("title", "rest")]
        day, _, count = today.partition(": ")
        await expect(tip).to_be_hidden()
        await page.get_by_role("link", name="12 months").focus()
        await page.keyboard.press("Tab")
        await expect(tip).to_contain_text(today)
        await expect(tip).to_contain_text(before)
        await page.keyboard.press("Home")
        await expect(tip).to_contain_text(str(await bars.first.get_attribute("data-title")))
        await page.keyboard.press("ArrowRight")
        await expect(tip).to_contain_text(str(await bars.nth(1).get_attribute("data-title")))
        await visitor.check()
        await page.keyboard.press("Escape")
        await expect(tip).to_be_hidden()
        await bars.nth(3).hover()
        await expect(tip).to_contain_text(str(await bars.nth(3).get_attribute("data-title")))
        await page.get_by_text("As a table").click()
        row = page.get_by_role("row").filter(has_text=day)
        await expect(row.get_by_role("cell").first).to_have_text(count)
        await visitor.check()


async def test_the_chart_is_read_by_touch(dashboard: Dashboard) -> None:
    async with dashboard.visit("phone") as visitor:
        plot, tip = await open_chart(visitor, "90")
        await expect(plot.locator(".column")).to_have_count(90)
        bar = plot.locator(".column").nth(40)
        await bar.locator(".hit").dispatch_event(
            "pointerdown", await bar.evaluate("bar => ({clientX: bar.getBoundingClientRect().x + 1})")
        )
        await expect(tip).to_contain_text(str(await bar.get_attribute("data-title")))
        await visitor.check()
