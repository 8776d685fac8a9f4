"""Failed deliveries in a real browser: refused emails are grouped, and replayed after the repair."""

from collections import Counter
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_leads import CONFIRMATION_SENT
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS

pytestmark = pytest.mark.asyncio(loop_scope="session")
# A response that no other test uses, so that the group contains only this test's rows.
REFUSED, REASON, TEXT = "551 5.1.6 mailbox has moved", "smtp 551 5.1.6 at rcpt", "The mailbox has moved"


async def test_refused_emails_are_grouped_previewed_and_replayed_once(
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
        await expect(group.get_by_role("cell", name="3", exact=True)).to_be_visible(timeout=2 * TIMEOUT_MS)
        await expect(group).to_contain_text("Failed")
        await visitor.check()
        await group.get_by_role("link", name=TEXT, exact=True).click()
        await expect(page.get_by_role("heading", name=TEXT)).to_be_visible()
        await expect(page.locator("#list tbody tr")).to_have_count(3)
        await visitor.check()
        # The lead's page shows why the email failed.
        await visitor.open(f"/admin/ui/leads/{leads[0]}")
        await expect(page.get_by_role("region", name="Activity")).to_contain_text("mailbox has moved")
        await visitor.check()

        for email in emails:
            del smtp.always[f"rcpt:{email}"]
        await visitor.open("/admin/ui/workbench")
        await group.get_by_role("link", name="Retry 3 deliveries").click()
        await expect(page.get_by_role("heading", name="Retry 3 deliveries?")).to_be_visible()
        await expect(page.get_by_role("region", name="Selected deliveries")).to_contain_text(REASON)
        assert not any(smtp.of(lead_id, "welcome") for lead_id in leads)
        duration = page.locator("#rate-help")
        await expect(duration).to_contain_text("At 25 per second, the retry takes about 1 s.")
        await page.get_by_label("Deliveries per second").fill("1")
        await expect(duration).to_contain_text("At 1 per second, the retry takes about 3 s.")
        await page.get_by_label("Deliveries per second").fill("0")
        await page.get_by_label("Deliveries per second").fill("25")
        await expect(duration).to_contain_text("At 25 per second, the retry takes about 1 s.")
        await visitor.check()
        await page.get_by_label("Comment").fill("mail server repaired")
        await page.get_by_role("button", name="Retry 3 deliveries").click()
        await page.wait_for_url("**/admin/ui/workbench/replays/*")
        await expect(page.locator("#replay .outcomes")).to_contain_text("3Resolved", timeout=2 * TIMEOUT_MS)
        await expect(page.get_by_text("mail server repaired")).to_be_visible()
        await visitor.check()
        await page.locator("#replay tbody a.lead").first.click()
        timeline = page.get_by_role("region", name="Activity")
        await expect(timeline).to_contain_text(CONFIRMATION_SENT)
        for lead_id in leads:
            await visitor.open(f"/admin/ui/leads/{lead_id}")
            await expect(timeline.locator(".history p").filter(has_text=CONFIRMATION_SENT)).to_have_count(1)
            failed = page.get_by_role("region", name="Activity").locator(".badge", has_text="Failed")
            await expect(failed).to_have_count(0)

    async def mails() -> Counter[str]:
        return Counter(
            mail.kind
            for lead_id in leads
            for kind in ("welcome", "admin_alert")
            for mail in smtp.of(lead_id, kind)
        )

    assert await eventually(mails, until=lambda now: now.total() >= 6) == {"welcome": 3, "admin_alert": 3}


async def test_archiving_is_confirmed_and_says_how_to_undo_it(dashboard: Dashboard) -> None:
    smtp, tag = dashboard.watched.smtp, uuid4().hex[:10]
    email = f"{tag}@example.com"
    smtp.always[f"rcpt:{email}"] = "452 4.2.2 mailbox full"
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        # The dialog counts all pending rows, on every tab, and also new ones.
        await visitor.open("/admin/ui/workbench?state=dead")
        counted = page.locator("#count-clear")
        before = int((await counted.text_content() or "").split()[0])
        lead_id = await dashboard.post(email=email)
        await expect(counted).to_contain_text(f"{before + 1} pending", timeout=2 * TIMEOUT_MS)
        await visitor.open("/admin/ui/workbench?state=waiting")
        await expect(page.get_by_role("link", name="The mailbox is full", exact=True)).to_be_visible(
            timeout=2 * TIMEOUT_MS
        )
        await page.get_by_role("button", name="Archive all pending").click()
        dialog = page.get_by_role("dialog", name="Archive all pending deliveries?")
        await expect(dialog).to_contain_text("Nothing is deleted")
        await visitor.check()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await page.get_by_role("button", name="Archive all pending").click()
        await dialog.get_by_role("button", name="Archive").click()
        await visitor.expect_toast("archived")
        await expect(page.get_by_role("link", name="The mailbox is full", exact=True)).to_be_hidden()
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        await expect(page.get_by_role("region", name="Activity")).to_contain_text("Archived")
    del smtp.always[f"rcpt:{email}"]


async def test_regression_a_replay_in_which_some_fail_again_is_no_success(dashboard: Dashboard) -> None:
    smtp, tag = dashboard.watched.smtp, uuid4().hex[:10]
    good, bad = f"good.{tag}@example.com", f"bad.{tag}@example.com"
    smtp.always |= {f"rcpt:{email}": "551 5.1.3 bad address" for email in (good, bad)}
    for email in (good, bad):
        await dashboard.post(name=f"Again {tag}", email=email)
    params = "kind=welcome&state=dead&reason=smtp+551+5.1.3+at+rcpt"
    async with dashboard.visit() as visitor:
        page = visitor.page

        async def both_failed() -> bool:
            await visitor.open(f"/admin/ui/workbench/replay?{params}")
            return await page.get_by_role("heading", name="Retry 2 deliveries?").is_visible()

        await eventually(both_failed, every=0.5, what="two refused emails")
        del smtp.always[f"rcpt:{good}"]
        await page.get_by_role("button", name="Retry 2 deliveries").click()
        summary = page.get_by_role("heading", name="1 sent, 1 failed again")
        await expect(summary).to_be_visible(timeout=3 * TIMEOUT_MS)
        await expect(page.locator(".head .badge.amber")).to_have_text("Finished")
        await visitor.check_in_both_themes()
        await visitor.open("/admin/ui/workbench")
        row = page.get_by_role("row").filter(has_text="1 sent, 1 failed again")
        await expect(row.locator(".badge.amber")).to_have_text("Finished")
        await visitor.check()
    del smtp.always[f"rcpt:{bad}"]


async def test_a_group_of_failed_deliveries_is_archived_and_can_be_retried(dashboard: Dashboard) -> None:
    smtp, tag, response = dashboard.watched.smtp, uuid4().hex[:10], "553 5.1.6 mailbox has moved"
    emails = [f"{tag}.{number}@example.com" for number in range(2)]
    for email in emails:
        smtp.always[f"rcpt:{email}"] = response
        await dashboard.post(name=f"Mistyped {tag}", email=email)
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/workbench?state=dead")
        group = page.get_by_role("row").filter(has_text="smtp 553 5.1.6 at rcpt")
        await expect(group.get_by_role("cell", name="2", exact=True)).to_be_visible(timeout=2 * TIMEOUT_MS)
        await visitor.check()
        await group.get_by_role("link", name="Archive 2 deliveries").click()
        await expect(page.get_by_role("heading", name="Archive 2 deliveries?")).to_be_visible()
        await visitor.check()
        await page.get_by_role("button", name="Archive 2 deliveries").click()
        await page.wait_for_url("**/admin/ui/workbench?state=archived")
        await expect(group.get_by_role("cell", name="2", exact=True)).to_be_visible()
        await group.get_by_role("link").first.click()
        await expect(page.locator("#list tbody tr")).to_have_count(2)
        await expect(page.get_by_role("button", name="Retry this delivery")).to_have_count(2)
        await expect(page.get_by_role("button", name="Archive this delivery")).to_have_count(0)
