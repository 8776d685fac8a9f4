"""The workbench in a real browser: refused mails are seen as a group, and sent after the repair."""

from collections import Counter
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.browser import PATIENCE_MS
from tests.support.wait import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
# An answer that no other test gives, so that the group is this test's own.
REFUSED, REASON, SAID = "551 5.1.6 mailbox has moved", "smtp 551 5.1.6 at rcpt", "The mailbox has moved"


async def test_refused_mails_are_seen_as_a_group_previewed_and_replayed_once_each(
    dashboard: Dashboard,
) -> None:
    smtp, tag = dashboard.watched.smtp, uuid4().hex[:10]
    emails = [f"{tag}.{number}@example.com" for number in range(3)]
    for email in emails:
        smtp.always[f"rcpt:{email}"] = REFUSED
    leads = [await dashboard.post(name=f"Refused {tag}", email=email) for email in emails]
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/workbench")
        group = page.get_by_role("row").filter(has_text=REASON)
        await expect(group.get_by_role("cell", name="3", exact=True)).to_be_visible(timeout=2 * PATIENCE_MS)
        await expect(group).to_contain_text("given up")
        await visitor.look()
        await group.get_by_role("link", name=SAID, exact=True).click()
        await expect(page.get_by_role("heading", name=SAID)).to_be_visible()
        await expect(page.locator("#items tbody tr")).to_have_count(3)
        await visitor.look()
        # One lead's page says why there is no mail.
        await visitor.open(f"/admin/ui/leads/{leads[0]}")
        await expect(page.get_by_role("region", name="Mails")).to_contain_text("mailbox has moved")
        await visitor.look()

        for email in emails:
            del smtp.always[f"rcpt:{email}"]
        await visitor.open("/admin/ui/workbench")
        await group.get_by_role("link", name="Replay 3 rows").click()
        await expect(page.get_by_role("heading", name="Replay 3 rows?")).to_be_visible()
        await expect(page.get_by_role("region", name="What is sent")).to_contain_text(REASON)
        assert not any(smtp.of(lead_id, "welcome") for lead_id in leads)
        await visitor.look()
        await page.get_by_label("Why").fill("mail server repaired")
        await page.get_by_role("button", name="Replay 3 rows").click()
        await page.wait_for_url("**/admin/ui/workbench/replays/*")
        await expect(page.locator("#replay .outcomes")).to_contain_text("3done", timeout=2 * PATIENCE_MS)
        await expect(page.get_by_text("mail server repaired")).to_be_visible()
        await visitor.look()
        await page.locator("#replay tbody a.lead").first.click()
        timeline = page.get_by_role("region", name="Timeline")
        await expect(timeline).to_contain_text("The welcome mail was sent")
        for lead_id in leads:
            await visitor.open(f"/admin/ui/leads/{lead_id}")
            said = await timeline.locator(".what").all_inner_texts()
            assert [each for each in said if each.startswith("The welcome mail was sent")], said
            assert "given up" not in await page.get_by_role("region", name="Mails").inner_text()

    async def mails() -> Counter[str]:
        return Counter(
            mail.kind
            for lead_id in leads
            for kind in ("welcome", "admin_alert")
            for mail in smtp.of(lead_id, kind)
        )

    assert await eventually(mails, until=lambda now: now.total() >= 6) == {"welcome": 3, "admin_alert": 3}


async def test_setting_aside_asks_first_and_says_how_to_undo_it(dashboard: Dashboard) -> None:
    smtp, tag = dashboard.watched.smtp, uuid4().hex[:10]
    email = f"{tag}@example.com"
    smtp.always[f"rcpt:{email}"] = "452 4.2.2 mailbox full"
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        # The question counts all that waits, also while other rows are shown, and also what comes meanwhile.
        await visitor.open("/admin/ui/workbench?state=dead")
        counted = page.locator("#count-clear")
        before = int((await counted.text_content() or "").split()[0])
        lead_id = await dashboard.post(email=email)
        await expect(counted).to_contain_text(f"{before + 1} waiting", timeout=2 * PATIENCE_MS)
        await visitor.open("/admin/ui/workbench?state=waiting")
        await expect(page.get_by_role("link", name="The mailbox is full", exact=True)).to_be_visible(
            timeout=2 * PATIENCE_MS
        )
        await page.get_by_role("button", name="Set all that waits aside").click()
        dialog = page.get_by_role("dialog", name="Set all that waits aside?")
        await expect(dialog).to_contain_text("Nothing is destroyed")
        await visitor.look()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await page.get_by_role("button", name="Set all that waits aside").click()
        await dialog.get_by_role("button", name="aside").click()
        await visitor.said("set aside")
        await expect(page.get_by_text("No rows are waiting")).to_be_visible()
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        await expect(page.get_by_role("region", name="Mails")).to_contain_text("set aside")
    del smtp.always[f"rcpt:{email}"]
