"""Leads in a real browser: search, follow-up, time zone, polling and keyboard use."""

import re
from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Dashboard
from tests.support.services.installation import ADMIN_TOKEN
from tests.support.wait import eventually
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
CONFIRMATION_SENT = re.compile("(welcome mail|confirmation email) was sent", re.IGNORECASE)


async def search(visitor: Visitor, words: str) -> None:
    """Type into the search field, and wait for its results."""
    await visitor.page.get_by_label("Search").press_sequentially(words)
    await expect(visitor.page.get_by_role("status").first).to_contain_text("found", timeout=TIMEOUT_MS)


async def set_status(visitor: Visitor, name: str, status: str) -> None:
    """Select a status and save it."""
    await visitor.page.get_by_label(f"Status of {name}", exact=True).select_option(status)
    await visitor.page.get_by_role("button", name=f"Save status of {name}").click()


async def find_lead(visitor: Visitor, words: str, name: str) -> None:
    """Search until the lead is stored and listed."""
    await visitor.open("/admin/ui/leads")
    await search(visitor, words)
    # A lead that is stored later appears with a poll.
    await expect(visitor.page.get_by_role("link", name=name)).to_be_visible(timeout=TIMEOUT_MS)


@pytest.mark.parametrize("size", SIZES)
async def test_a_lead_is_found_by_email_followed_up_and_audited(dashboard: Dashboard, size: Size) -> None:
    tag = uuid4().hex[:10]
    name = f"Margaret {tag}"
    lead_id = await dashboard.post(name=name, email=f"margaret.h.{tag}@example.com")
    async with dashboard.visit_signed_out(size) as visitor:
        page = visitor.page
        await visitor.sign_in(ADMIN_TOKEN)
        await page.get_by_role("link", name="Leads", exact=True).first.click()
        await page.wait_for_url("**/admin/ui/leads")
        await search(visitor, tag[:8])
        await page.get_by_role("link", name=name).click()
        await page.wait_for_url(f"**/admin/ui/leads/{lead_id}")
        timeline = page.get_by_role("region", name="Activity")
        await expect(timeline).to_contain_text(re.compile("Accepted|Received from"))
        await expect(timeline).to_contain_text(CONFIRMATION_SENT, timeout=TIMEOUT_MS)
        await set_status(visitor, name, "contacted")
        await visitor.expect_toast("Status changed to Contacted")
        await expect(timeline).to_contain_text("contacted", ignore_case=True, timeout=TIMEOUT_MS)
        await page.get_by_role("link", name="Audit log").click()
        await page.get_by_label("Lead ID").fill(lead_id)
        await page.get_by_role("button", name="Search").click()
        changed = page.get_by_role("row").filter(has_text="Status changed").filter(has_text="contacted")
        await expect(changed.filter(has_text="admin").filter(has_text=lead_id[-8:])).to_have_count(1)
        await visitor.check()
        # The list still has the search, and the row has the new status.
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        await page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").click()
        await expect(page.get_by_label("Search")).to_have_value(tag[:8])
        await expect(page.get_by_label(f"Status of {name}", exact=True)).to_have_value("contacted")
        assert not [url for url in visitor.urls if tag in url]


async def test_regression_status_and_assignee_can_be_saved_after_each_other(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    name = f"Nora {tag}"
    lead_id = await dashboard.post(name=name, email=f"{tag}@example.com")
    async with dashboard.visit() as visitor:
        page = visitor.page
        await find_lead(visitor, tag, name)
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        for status in ("processing", "contacted"):
            await set_status(visitor, name, status)
            await visitor.expect_toast("Status changed to")
            await expect(page.get_by_label(f"Status of {name}", exact=True)).to_have_value(status)
        # The timeline shows the change at once.
        await expect(page.get_by_role("region", name="Activity").get_by_role("listitem")).to_contain_text(
            ["contacted"], ignore_case=True
        )
        for assignee in ("Ann", "Bob"):
            await page.get_by_label("Assignee").fill(assignee)
            await page.get_by_role("button", name="Save", exact=True).click()
            await expect(page.locator("#saved")).to_have_text("Saved.")
            await visitor.wait_until_loaded()
        await set_status(visitor, name, "won")
        await visitor.expect_toast("Status changed to Won")
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        await expect(page.get_by_label("Assignee")).to_have_value("Bob")
        await expect(page.get_by_label(f"Status of {name}", exact=True)).to_have_value("won")
        await visitor.check()


async def test_regression_a_poll_keeps_a_status_that_is_not_saved_yet(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    name = f"Uma {tag}"
    await dashboard.post(name=name, email=f"{tag}@example.com")
    async with dashboard.visit() as visitor:
        page = visitor.page
        await find_lead(visitor, tag, name)
        await page.get_by_label("Search").blur()  # searches again, because the text has changed
        await visitor.wait_until_loaded()
        status = page.get_by_label(f"Status of {name}", exact=True)
        await status.select_option("won")
        await page.get_by_role("heading", name="Leads").click()  # moves the focus out of the list
        await page.evaluate("htmx.trigger(document.body, 'pagevisible')")
        await visitor.wait_until_loaded()
        await expect(status).to_have_value("won")
        await page.get_by_role("button", name=f"Save status of {name}").click()
        await visitor.expect_toast("Status changed to Won")
        await page.get_by_role("heading", name="Leads").click()
        async with page.expect_response("**/admin/ui/leads"):
            await page.evaluate("htmx.trigger(document.body, 'pagevisible')")


async def test_the_service_filter_suggests_services_of_leads(dashboard: Dashboard) -> None:
    await dashboard.post(service="Web design", email=f"{uuid4().hex[:10]}@example.com")
    async with dashboard.visit() as visitor:
        choices = visitor.page.locator("#services option[value='Web design']")

        async def count_choices() -> int:
            await visitor.open("/admin/ui/leads")
            return await choices.count()

        assert await eventually(count_choices, every=2, seconds=60, what="the cached services") == 1


async def test_times_are_in_the_viewer_s_zone(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    await dashboard.post(name=f"Zoe {tag}", email=f"{tag}@example.com")
    async with dashboard.visit() as visitor:
        await find_lead(visitor, tag, f"Zoe {tag}")
        time = visitor.page.get_by_role("row", name=tag).locator("time")
        at = datetime.fromisoformat(str(await time.get_attribute("datetime")))
        assert abs((datetime.now(UTC) - at).total_seconds()) < 60
        local = at.astimezone(ZoneInfo("Asia/Kolkata"))
        assert f"{local.day} {local:%b}, {local:%H:%M}" in await time.inner_text()
        await visitor.open("/admin")
        await expect(visitor.page.locator(".zone")).to_contain_text("Asia/")


async def test_numbers_change_without_a_reload(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    async with dashboard.visit() as visitor:
        await visitor.open("/admin")
        total = visitor.page.locator(".number", has_text="New today").locator(".big")
        before = await total.inner_text()
        await dashboard.post(name=f"Nina {tag}", email=f"{tag}@example.com")
        await expect(total).not_to_have_text(before, timeout=2 * TIMEOUT_MS)
        assert visitor.documents == ["/admin"]
        await visitor.check()


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of this name has the focus."""
    focused = (
        "[document.activeElement.getAttribute('aria-label'), document.activeElement.textContent,"
        " document.activeElement.labels?.[0]?.textContent].join('|')"
    )
    for _ in range(60):
        await page.keyboard.press("Tab")
        if name in await page.evaluate(focused):
            return
    raise AssertionError(f"Tab never reaches {name!r}")


async def test_a_lead_is_handled_with_the_keyboard_alone(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    name = f"Kay {tag}"
    lead_id = await dashboard.post(name=name, email=f"{tag}@example.com")
    async with dashboard.visit_signed_out() as visitor:
        page, keyboard = visitor.page, visitor.page.keyboard
        await page.goto(f"{visitor.url}/admin/ui/leads")
        # The browser moves the focus to the field with the first frame, which may be after the load event.
        await expect(page.get_by_label("Admin token")).to_be_focused()
        await keyboard.type(ADMIN_TOKEN)
        await keyboard.press("Enter")
        await page.wait_for_url(f"{visitor.url}/admin/ui/leads")
        await tab_to(page, "Skip to content")
        await keyboard.press("Enter")
        await tab_to(page, "Search")
        await keyboard.type(tag)
        await expect(page.get_by_role("link", name=name)).to_be_visible(timeout=TIMEOUT_MS)
        await tab_to(page, f"Select {name}")
        await tab_to(page, name)
        # A poll replaces the list, and the focus stays.
        async with page.expect_response("**/admin/ui/leads"):
            await page.evaluate("htmx.trigger(document.body, 'pagevisible')")
        await visitor.wait_until_loaded()
        await expect(page.get_by_role("link", name=name)).to_be_focused()
        await keyboard.press("Enter")
        await page.wait_for_url(f"**/{lead_id}")
        await tab_to(page, f"Status of {name}")
        await keyboard.type("won")
        await keyboard.press("Enter")
        await visitor.expect_toast("Status changed to Won")
        await expect(page.get_by_label(f"Status of {name}", exact=True)).to_be_focused()
        await tab_to(page, "Delete personal data")
        await keyboard.press("Enter")
        await page.wait_for_url(f"**/{lead_id}/erase")
        await tab_to(page, "Type the address to confirm")
        await tab_to(page, "Cancel")
        await keyboard.press("Enter")
        await page.wait_for_url(f"**/{lead_id}")
        assert visitor.problems == []
