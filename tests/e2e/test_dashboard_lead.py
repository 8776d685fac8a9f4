"""A lead's own page in a real browser: reply, call, copy, notes, and the next lead."""

from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.services.installation import HOOK_KEY
from tests.support.wait import eventually
from tests.support.web.browser import SIZES, TIMEOUT_MS, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
PHONE = "+44 20 7946 0958"


async def open_lead(visitor: Visitor, lead_id: str) -> None:
    """Open the page of a lead, and wait until the lead is stored."""

    async def count_messages() -> int:
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        return await visitor.page.get_by_role("heading", name="Message").count()

    await eventually(count_messages, seconds=60, what="the stored lead")
    visitor.problems.clear()  # the browser reports the 404s of a lead that is not stored yet


async def test_a_lead_is_answered_and_its_address_is_copied(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    email = f"{tag}@example.com"
    lead_id = await dashboard.post(name=f"Rosa {tag}", email=email, phone=PHONE, message="Hi & bye?")
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await open_lead(visitor, lead_id)
        answer = page.get_by_role("navigation", name="Answer")
        reply = answer.get_by_role("link", name="Reply")
        href = str(await reply.get_attribute("href"))
        assert href.startswith(f"mailto:{email}?subject=Re%3A%20New%20lead%20{lead_id[-8:]}&body=")
        assert href.endswith("%3E%20Hi%20%26%20bye%3F")
        call = answer.get_by_role("link", name="Call")
        await expect(call).to_have_attribute("href", "tel:+442079460958")
        for link in (reply, call):
            box = await link.bounding_box()
            assert box is not None
            assert SIZES["phone"]["height"] - 80 < box["y"] + box["height"] <= SIZES["phone"]["height"]
        for name, text in (("email address", email), ("phone number", PHONE)):
            await page.get_by_role("button", name=f"Copy {name}").click()
            await expect(page.locator("#copied")).to_have_text(f"{name.capitalize()} copied.")
            assert await page.evaluate("navigator.clipboard.readText()") == text
        await expect(page.locator("#copied")).to_have_text("", timeout=TIMEOUT_MS)
        await visitor.check_in_both_themes()
        assert not [url for url in visitor.urls if tag in url]


async def test_a_reply_begins_with_the_template_of_the_site(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    installation = dashboard.watched.installation
    answers = {"your-name": f"Rosa {tag}", "your-email": f"{tag}@example.com", "your-message": "Hi & bye?"}
    async with installation.client() as client:
        assert (await client.post(f"/inbound/hooks/{HOOK_KEY}", json=answers)).status_code == 200
    sql = "SELECT id::text, site FROM lead_inbox WHERE email = $1"

    async def find() -> list[Any]:
        return await installation.fetch(sql, answers["your-email"])

    (lead,) = await eventually(find, seconds=60, what="the stored lead")
    assert lead["site"] == "studio"
    async with dashboard.visit() as visitor:
        await open_lead(visitor, lead["id"])
        reply = visitor.page.get_by_role("navigation", name="Answer").get_by_role("link", name="Reply")
        url = urlsplit(str(await reply.get_attribute("href")))
        fields = parse_qs(url.query, strict_parsing=True)
        assert (url.path, fields["subject"]) == (answers["your-email"], ["Your request to Studio Nord"])
        begin = f"Hello Rosa {tag},\r\n\r\nRosa {tag}, "
        assert fields["body"][0].startswith(begin)
        assert fields["body"][0].endswith(":\r\n> Hi & bye?")


async def test_notes_are_written_edited_and_deleted(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    lead_id = await dashboard.post(name=f"Nell {tag}", email=f"{tag}@example.com")
    async with dashboard.visit() as visitor:
        page = visitor.page
        await open_lead(visitor, lead_id)
        activity = page.get_by_role("region", name="Activity")
        field = page.get_by_label("New note")
        await field.fill(f"Called {tag}.\nNo answer.")
        await field.press("Control+Enter")
        await visitor.expect_toast("Note saved.")
        await expect(field).to_have_value("")
        await expect(field).to_be_focused()
        # The newest entry is first.
        first = activity.get_by_role("listitem").first
        await expect(first).to_contain_text(f"Called {tag}.")
        await expect(first.locator(".author")).to_have_text("admin")
        assert visitor.documents[-1] == f"/admin/ui/leads/{lead_id}"
        await visitor.check_in_both_themes()
        # A blank note is refused at its field.
        await field.press("Control+Enter")
        await expect(page.locator("#note-error")).to_be_visible()
        visitor.problems.clear()  # the browser reports the 422
        await first.get_by_role("link", name="Edit note").click()
        await page.get_by_label("Note", exact=True).fill(f"Reached {tag}.")
        await visitor.check_in_both_themes()
        await page.get_by_label("Note", exact=True).press("Control+Enter")
        await page.wait_for_url(f"**/admin/ui/leads/{lead_id}")
        await expect(first).to_contain_text(f"Reached {tag}.")
        await expect(first).to_contain_text("edited")
        await first.get_by_role("link", name="Edit note").click()
        await page.get_by_role("button", name="Delete note…").click()
        dialog = page.get_by_role("dialog", name="Delete this note?")
        await visitor.check()
        await dialog.get_by_role("button", name="Delete note").click()
        await page.wait_for_url(f"**/admin/ui/leads/{lead_id}")
        await expect(activity).to_contain_text("admin deleted a note.")
        await expect(activity).not_to_contain_text(f"Reached {tag}")
        assert visitor.problems == []


async def test_next_and_previous_follow_the_list(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    for name in ("Una", "Duo", "Tria"):
        await dashboard.post_and_store(name=f"{name} {tag}", email=f"{tag}@example.com")
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads")
        await page.get_by_label("Search").fill(tag)
        await expect(page.locator("#list a.lead")).to_have_count(3, timeout=TIMEOUT_MS)
        names = await page.locator("#list a.lead").all_inner_texts()
        await page.locator("#list a.lead").nth(1).click()
        heading = page.get_by_role("heading", level=1)
        neighbours = page.get_by_role("navigation", name="Leads of the list")
        await expect(heading).to_have_text(names[1])
        await expect(neighbours).to_contain_text("2 of 3")
        await visitor.check()
        await page.get_by_label("New note").press_sequentially("jk")
        await page.get_by_label("New note").fill("")
        await neighbours.get_by_role("link", name="Next").click()
        await expect(heading).to_have_text(names[2])
        await page.keyboard.press("j")  # this is the last lead of the list
        await expect(neighbours.get_by_role("link", name="Next")).to_have_attribute("aria-disabled", "true")
        await visitor.check_in_both_themes()
        for name in (names[1], names[0]):
            await page.keyboard.press("k")
            await expect(heading).to_have_text(name)
        await page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").click()
        await expect(page.get_by_label("Search")).to_have_value(tag)
        assert not [url for url in visitor.urls if tag in url]
    async with dashboard.visit() as visitor:  # not opened from a list
        await visitor.open(await lead_path(dashboard, tag))
        await expect(visitor.page.get_by_role("navigation", name="Leads of the list")).to_be_hidden()


async def lead_path(dashboard: Dashboard, tag: str) -> str:
    """Return the path of one of the leads with this tag."""
    answer = await dashboard.watched.installation.admin("GET", "/admin/leads", params={"q": tag})
    return f"/admin/ui/leads/{answer.json()['leads'][0]['id']}"
