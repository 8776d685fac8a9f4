"""The dashboard in a real browser: what a sales person does with a lead, by mouse, finger and keyboard."""

from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Dashboard
from tests.support.browser import PATIENCE_MS, SIZES, Size, Visitor
from tests.support.installation import ADMIN_TOKEN
from tests.support.wait import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def search(visitor: Visitor, words: str) -> None:
    """Type into the search of the leads; it finds while one types."""
    await visitor.page.get_by_label("Search").press_sequentially(words)
    await expect(visitor.page.get_by_role("status").first).to_contain_text("found", timeout=PATIENCE_MS)


async def set_status(visitor: Visitor, name: str, status: str) -> None:
    """Choose a status and save it."""
    await visitor.page.get_by_label(f"Status of {name}", exact=True).select_option(status)
    await visitor.page.get_by_role("button", name=f"Save status of {name}").click()


async def found(visitor: Visitor, words: str, name: str) -> None:
    """Search until the lead is stored and found."""
    await visitor.open("/admin/ui/leads")
    await search(visitor, words)
    # A lead that is not stored yet appears with the next poll.
    await expect(visitor.page.get_by_role("link", name=name)).to_be_visible(timeout=PATIENCE_MS)


@pytest.mark.parametrize("size", SIZES)
async def test_a_lead_is_found_by_part_of_its_email_followed_up_and_the_change_audited(
    dashboard: Dashboard, size: Size
) -> None:
    tag = uuid4().hex[:10]
    name = f"Margaret {tag}"
    lead_id = await dashboard.post(name=name, email=f"margaret.h.{tag}@example.com")
    async with dashboard.visit_unknown(size) as visitor:
        page = visitor.page
        await visitor.sign_in(ADMIN_TOKEN)
        await page.get_by_role("link", name="Leads", exact=True).first.click()
        await page.wait_for_url("**/admin/ui/leads")
        await search(visitor, tag[:8])
        await page.get_by_role("link", name=name).click()
        await page.wait_for_url(f"**/admin/ui/leads/{lead_id}")
        timeline = page.get_by_role("region", name="Timeline")
        await expect(timeline).to_contain_text("Accepted")
        await expect(timeline).to_contain_text("The welcome mail was sent", timeout=PATIENCE_MS)
        await set_status(visitor, name, "contacted")
        await visitor.said("Status changed to Contacted")
        await expect(timeline).to_contain_text("from received to contacted", timeout=PATIENCE_MS)
        await page.get_by_role("link", name="Audit log").click()
        await page.get_by_label("Lead id").fill(lead_id)
        await page.get_by_role("button", name="Search").click()
        changed = page.get_by_role("row").filter(has_text="Status changed").filter(has_text="contacted")
        await expect(changed.filter(has_text="admin").filter(has_text=lead_id[-8:])).to_have_count(1)
        await visitor.look()
        # Back at the list the search is still there, and the row has the new status.
        await page.get_by_role("link", name="Leads", exact=True).first.click()
        await expect(page.get_by_label(f"Status of {name}", exact=True)).to_have_value("contacted")
        assert not [url for url in visitor.urls if tag in url]


async def test_regression_status_and_note_can_be_changed_one_after_the_other(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    name = f"Nora {tag}"
    lead_id = await dashboard.post(name=name, email=f"{tag}@example.com")
    async with dashboard.visit() as visitor:
        page = visitor.page
        await found(visitor, tag, name)
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        for status in ("processing", "contacted"):
            await set_status(visitor, name, status)
            await visitor.said("Status changed to")
            await expect(page.get_by_label(f"Status of {name}", exact=True)).to_have_value(status)
        # What was done stands in the timeline at once.
        await expect(page.get_by_role("region", name="Timeline")).to_contain_text("processing to contacted")
        await page.get_by_label("Notes").fill("She wants a shop.")
        async with page.expect_event("load"):  # the page is shown anew
            await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_label("Notes")).to_have_value("She wants a shop.")
        await expect(page.get_by_label(f"Status of {name}", exact=True)).to_have_value("contacted")
        await visitor.look()


async def test_the_services_that_leads_ask_for_are_there_to_choose_from(dashboard: Dashboard) -> None:
    await dashboard.post(service="Web design", email=f"{uuid4().hex[:10]}@example.com")
    async with dashboard.visit() as visitor:
        choices = visitor.page.locator("#services option[value='Web design']")

        async def known() -> int:
            await visitor.open("/admin/ui/leads")
            return await choices.count()

        assert (
            await eventually(known, every=2, seconds=60, what="the services, which are kept for a moment")
            == 1
        )


async def test_times_are_those_of_the_viewer_s_zone(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    await dashboard.post(name=f"Zoe {tag}", email=f"{tag}@example.com")
    async with dashboard.visit() as visitor:
        await found(visitor, tag, f"Zoe {tag}")
        time = visitor.page.get_by_role("row", name=tag).locator("time")
        at = datetime.fromisoformat(str(await time.get_attribute("datetime")))
        assert abs((datetime.now(UTC) - at).total_seconds()) < 60
        local = at.astimezone(ZoneInfo("Asia/Kolkata"))
        assert f"{local.day} {local:%b}, {local:%H:%M}" in await time.inner_text()
        await visitor.open("/admin")
        await expect(visitor.page.locator(".zone")).to_contain_text("Asia/")


async def test_what_happens_appears_by_itself(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    async with dashboard.visit() as at_the_list, dashboard.visit() as at_the_overview:
        await at_the_list.open("/admin/ui/leads")
        await at_the_overview.open("/admin")
        total = at_the_overview.page.get_by_label("Leads, last 24 hours").locator(".big")
        before = await total.inner_text()
        await dashboard.post(name=f"Nina {tag}", email=f"{tag}@example.com")
        row = at_the_list.page.get_by_role("link", name=f"Nina {tag}")
        await expect(row).to_be_visible(timeout=PATIENCE_MS)
        await expect(total).not_to_have_text(before, timeout=2 * PATIENCE_MS)
        for visitor, path in ((at_the_list, "/admin/ui/leads"), (at_the_overview, "/admin")):
            assert visitor.documents == [path]
            await visitor.look()


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until the thing of this name has the focus, as somebody without a mouse does."""
    said = (
        "[document.activeElement.getAttribute('aria-label'), document.activeElement.textContent,"
        " document.activeElement.labels?.[0]?.textContent].join('|')"
    )
    for _ in range(60):
        await page.keyboard.press("Tab")
        if name in await page.evaluate(said):
            return
    raise AssertionError(f"Tab never reaches {name!r}")


async def test_everything_can_be_done_with_the_keyboard_alone(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    name = f"Kay {tag}"
    lead_id = await dashboard.post(name=name, email=f"{tag}@example.com")
    async with dashboard.visit_unknown() as visitor:
        page, keyboard = visitor.page, visitor.page.keyboard
        await page.goto(f"{visitor.url}/admin/ui/leads")
        await keyboard.type(ADMIN_TOKEN)  # the field has the focus
        await keyboard.press("Enter")
        await page.wait_for_url(f"{visitor.url}/admin/ui/leads")
        await tab_to(page, "Skip to the content")
        await keyboard.press("Enter")
        await tab_to(page, "Search")
        await keyboard.type(tag)
        await expect(page.get_by_role("link", name=name)).to_be_visible(timeout=PATIENCE_MS)
        await tab_to(page, name)
        # The list is drawn anew meanwhile, and one stays where one is.
        async with page.expect_response("**/admin/ui/leads"):
            await page.evaluate("htmx.trigger(document.body, 'seen')")
        await visitor.settled()
        await expect(page.get_by_role("link", name=name)).to_be_focused()
        await keyboard.press("Enter")
        await page.wait_for_url(f"**/{lead_id}")
        await tab_to(page, f"Status of {name}")
        await keyboard.type("won")
        await keyboard.press("Enter")
        await visitor.said("Status changed to Won")
        await expect(page.get_by_label(f"Status of {name}", exact=True)).to_be_focused()
        await tab_to(page, "Delete personal data")
        await keyboard.press("Enter")
        await page.wait_for_url(f"**/{lead_id}/erase")
        await tab_to(page, "Type the address to confirm")
        await tab_to(page, "Cancel")
        await keyboard.press("Enter")
        await page.wait_for_url(f"**/{lead_id}")
        assert visitor.complaints == []
