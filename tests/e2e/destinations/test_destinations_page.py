"""Destinations in a real browser, with the real webhooks service and real receivers."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.destinations.conftest import Opened
from tests.support.services.connected import refuse
from tests.support.wait import eventually
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size
from tests.support.web.webhook_receiver import accept

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGE = "/admin/ui/destinations"
# A paused destination is tried again after 30 s.
PAUSED_MS = 60_000


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


async def pause_helpdesk(opened: Opened) -> None:
    """Let the destination that answers 500 fail until it is paused."""
    leads = [await opened.post() for _ in range(5)]

    async def state() -> str:
        found = (await opened.connected.installation.admin("GET", "/admin/destinations")).json()
        return str(next(each["state"] for each in found["destinations"] if each["name"] == "helpdesk"))

    await eventually(state, until=lambda now: now == "paused", seconds=60, what="the pause")
    await opened.wait_for_states(leads[-1], crm="delivered")


@pytest.mark.parametrize("size", SIZES)
async def test_a_failing_destination_says_since_when_and_why(opened: Opened, size: Size) -> None:
    await pause_helpdesk(opened)
    async with opened.visit(size) as visitor:
        page = visitor.page
        await visitor.open("/admin/status")
        reason = page.get_by_role("link", name="helpdesk is paused: the destination did not accept it")
        await expect(reason).to_be_visible(timeout=PAUSED_MS)
        component = page.locator(".components li", has_text="Destinations")
        await expect(component).to_have_text("DestinationsNeeds attention")
        await reason.first.click()
        await page.wait_for_url(f"**{PAGE}#destination-helpdesk")
        failing = card(page, "helpdesk")
        await expect(failing).to_contain_text("Paused")
        await expect(failing).to_contain_text("The destination did not accept it")
        await expect(failing).to_contain_text("destination answered 500")
        await expect(card(page, "crm")).to_contain_text("Healthy")
        await expect(card(page, "crm")).to_contain_text("95% within")
        await visitor.check_in_both_themes()


@pytest.mark.parametrize("size", SIZES)
async def test_a_test_event_shows_its_result_by_keyboard(opened: Opened, size: Size) -> None:
    async with opened.visit(size) as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/audit")
        await page.keyboard.press("Control+k")
        await page.keyboard.type("Destinations")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**{PAGE}")
        await page.get_by_role("button", name="Send test event to crm").focus()
        await page.keyboard.press("Enter")
        await visitor.expect_toast("Sending a test event to crm.")
        tested = card(page, "crm").locator(".last-test")
        await expect(tested).to_contain_text("Delivered", timeout=TIMEOUT_MS)
        await expect(tested).to_contain_text("200")
        await tested.get_by_text("Response", exact=True).focus()
        await page.keyboard.press("Enter")
        await expect(tested.locator("pre")).to_have_text("thank you")
        await visitor.check_in_both_themes()
    opened.connected.erp.answer = refuse
    async with opened.visit(size) as visitor:
        page = visitor.page
        await visitor.open(PAGE)
        await page.get_by_role("button", name="Send test event to erp").click()
        tested = card(page, "erp").locator(".last-test")
        await expect(tested).to_contain_text("Pending", timeout=TIMEOUT_MS)
        await expect(tested).to_contain_text("destination answered 500")
        await visitor.check()
        opened.connected.erp.answer = accept
        await page.get_by_role("button", name="Send test event to erp").click()
        await expect(tested).to_contain_text("Delivered", timeout=TIMEOUT_MS)


@pytest.mark.parametrize("size", SIZES)
async def test_disabling_is_confirmed_and_enabling_sends_again(opened: Opened, size: Size) -> None:
    async with opened.visit(size) as visitor:
        page = visitor.page
        await visitor.open(PAGE)
        button = page.get_by_role("button", name="Disable team-chat")
        await button.focus()
        await page.keyboard.press("Space")
        dialog = page.get_by_role("dialog", name="Disable team-chat?")
        await expect(dialog).to_contain_text("New deliveries wait")
        await visitor.check_in_both_themes()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await button.click()
        await dialog.get_by_role("button", name="Disable destination").click()
        await visitor.expect_toast("team-chat is disabled.")
        chat = card(page, "team-chat")
        await expect(chat).to_contain_text("Disabled by admin", timeout=TIMEOUT_MS)
        await expect(chat.get_by_role("button", name="Send test event")).to_have_count(0)
        await visitor.check()
        await chat.get_by_role("button", name="Enable team-chat").click()
        await visitor.expect_toast("Sending to team-chat again.")
        await expect(chat).to_contain_text("Healthy", timeout=TIMEOUT_MS)
        await visitor.check()


async def test_everything_works_without_scripts(opened: Opened) -> None:
    async with opened.visit("phone", java_script_enabled=False) as visitor:
        page = visitor.page
        await visitor.open(PAGE)
        await page.get_by_role("button", name="Send test event to sheet").click()
        await page.wait_for_url(f"**{PAGE}#destination-sheet")
        tested = card(page, "sheet").locator(".last-test")

        async def is_delivered() -> bool:
            await page.reload()
            return "Delivered" in await tested.inner_text()

        await eventually(is_delivered, seconds=30, what="the result")
        await page.get_by_role("button", name="Disable sheet").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Disable sheet?")
        await page.get_by_role("button", name="Disable destination").click()
        await expect(card(page, "sheet")).to_contain_text("Disabled by admin")
        await page.get_by_role("button", name="Enable sheet").click()
        await expect(card(page, "sheet")).to_contain_text("Healthy")
        assert not visitor.problems
