"""A lead's deliveries to destinations in a real browser: their states, sending again, and an erased lead."""

import pytest
from playwright.async_api import expect

from tests.e2e.destinations.conftest import Opened
from tests.support.services.connected import refuse
from tests.support.wait import eventually
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size
from tests.support.web.webhook_receiver import accept

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("size", SIZES)
async def test_a_failed_delivery_shows_its_response_and_is_sent_again(opened: Opened, size: Size) -> None:
    erp = opened.connected.erp
    erp.answer = refuse
    lead_id = await opened.post()
    await opened.wait_for_states(lead_id, erp="failed", crm="delivered")
    async with opened.visit(size) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        deliveries = page.get_by_role("region", name="Deliveries to destinations")
        failed = deliveries.get_by_role("listitem").filter(has=page.get_by_text("erp", exact=True))
        await expect(failed).to_contain_text("Pending")
        await expect(failed).to_contain_text("The destination did not accept it")
        await expect(failed).to_contain_text("Next attempt")
        await failed.get_by_text("Response", exact=True).click()
        await expect(failed.locator("pre")).to_contain_text("Ticket database is in maintenance")
        await visitor.check_in_both_themes()
        erp.answer = accept
        await failed.get_by_role("button", name="Send again to erp").click()
        await visitor.expect_toast("Sending it to erp again.")
        await expect(failed).to_contain_text("Delivered", timeout=TIMEOUT_MS)
        await visitor.check()


@pytest.mark.parametrize("size", SIZES)
async def test_what_has_arrived_is_sent_again_after_a_confirmation(opened: Opened, size: Size) -> None:
    crm = opened.connected.crm
    lead_id = await opened.post()
    await opened.wait_for_states(lead_id, crm="delivered")
    (event,) = [each for each in crm.events if each["data"]["id"] == lead_id]
    async with opened.visit(size) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        button = page.get_by_role("button", name="Send again to crm: New lead")
        await button.click()
        dialog = page.get_by_role("dialog", name="Send it to crm again?")
        await expect(dialog).to_contain_text("same webhook-id")
        await visitor.check_in_both_themes()
        await page.keyboard.press("Escape")
        assert crm.attempts[event["id"]] == 1
        await button.click()
        await dialog.get_by_role("button", name="Send again").click()
        await visitor.expect_toast("Sending it to crm again.")

        async def attempts() -> int:
            return crm.attempts[event["id"]]

        await eventually(attempts, until=lambda count: count == 2, what="the second delivery")
        assert len(crm.contents[event["id"]]) == 1
        activity = page.get_by_role("region", name="Activity")
        await expect(activity).to_contain_text("admin sent a delivery to crm again", timeout=TIMEOUT_MS)
        await visitor.check()


async def test_a_delivery_is_sent_again_without_scripts(opened: Opened) -> None:
    crm = opened.connected.crm
    lead_id = await opened.post()
    await opened.wait_for_states(lead_id, crm="delivered")
    (event,) = [each for each in crm.events if each["data"]["id"] == lead_id]
    async with opened.visit("phone", java_script_enabled=False) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        await page.get_by_role("button", name="Send again to crm: New lead").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Send it to crm again?")
        await page.get_by_role("button", name="Send again").click()
        await page.wait_for_url(f"**/admin/ui/leads/{lead_id}#deliveries")
        assert not visitor.problems

    async def attempts() -> int:
        return crm.attempts[event["id"]]

    await eventually(attempts, until=lambda count: count == 2, what="the second delivery")


@pytest.mark.parametrize("size", SIZES)
async def test_an_erased_lead_says_who_was_informed_and_who_was_not(opened: Opened, size: Size) -> None:
    erp = opened.connected.erp
    lead_id = await opened.post()
    await opened.wait_for_states(lead_id, crm="delivered", erp="delivered", sheet="delivered")
    erp.answer = refuse
    erased = await opened.connected.installation.admin("DELETE", f"/admin/leads/{lead_id}")
    assert erased.status_code == 200
    async with opened.visit(size) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        informed = page.get_by_role("region", name="Destinations informed of the deletion")
        items = informed.get_by_role("listitem")
        await expect(items.filter(has_text="crm")).to_contain_text("Informed", timeout=TIMEOUT_MS)
        await expect(items.filter(has_text="erp")).to_contain_text("Not informed yet")
        await expect(items.filter(has_text="sheet")).to_contain_text(
            "Could not be informed", timeout=TIMEOUT_MS
        )
        deliveries = page.get_by_role("region", name="Deliveries to destinations")
        await expect(deliveries).to_contain_text("settings have no request for erasures")
        await visitor.check_in_both_themes()
        erp.answer = accept
        await page.get_by_role("button", name="Send again to erp: Personal data deleted").click()
        await expect(items.filter(has_text="erp").locator(".badge")).to_have_text(
            "Informed", timeout=TIMEOUT_MS
        )
        await expect(deliveries.get_by_role("button", name="New lead")).to_have_count(0)
        await visitor.check()
    (event,) = [
        each for each in erp.events if each["type"] == "lead.erased" and each["data"]["id"] == lead_id
    ]
    assert set(event["data"]) == {"id", "reference", "site"}
