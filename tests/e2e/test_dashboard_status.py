"""A lead's status in a real browser: saved by button or Enter, undone; a release from spam is confirmed."""

from uuid import uuid4

import pytest
from playwright.async_api import Locator, Request, expect

from tests.e2e.conftest import Dashboard
from tests.support.wait import eventually
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


def status_of(visitor: Visitor, name: str) -> Locator:
    return visitor.page.get_by_label(f"Status of {name}", exact=True)


def save_of(visitor: Visitor, name: str) -> Locator:
    return visitor.page.get_by_role("button", name=f"Save status of {name}")


async def post_and_list(dashboard: Dashboard, visitor: Visitor, *, spam: bool = False) -> tuple[str, str]:
    """Post a lead, wait until the list of leads shows it, and return its name and id."""
    tag = uuid4().hex[:10]
    name = f"Olga {tag}"
    lead_id = await dashboard.post_and_store(
        name=name, email=f"{tag}@example.com", meta={"honeypot": "x" if spam else ""}
    )
    await visitor.open("/admin/ui/leads")
    await expect(status_of(visitor, name)).to_be_visible()
    return name, lead_id


async def stored_status(dashboard: Dashboard, lead_id: str) -> str:
    answer = await dashboard.watched.installation.admin("GET", f"/admin/leads/{lead_id}")
    return str(answer.json()["lead"]["status"])


def count_emails(dashboard: Dashboard, lead_id: str) -> int:
    return sum(len(dashboard.watched.smtp.of(lead_id, kind)) for kind in ("welcome", "admin_alert"))


@pytest.mark.parametrize("size", SIZES)
async def test_regression_a_changed_status_keeps_its_form_and_focus(dashboard: Dashboard, size: Size) -> None:
    async with dashboard.visit(size) as visitor:
        name, lead_id = await post_and_list(dashboard, visitor)
        await expect(save_of(visitor, name)).to_be_hidden()
        await status_of(visitor, name).select_option("contacted")
        await save_of(visitor, name).click()
        await visitor.expect_toast("Status changed to Contacted.")
        await expect(status_of(visitor, name)).to_have_value("contacted")
        await expect(status_of(visitor, name)).to_be_focused()
        await expect(save_of(visitor, name)).to_be_hidden()
        assert await stored_status(dashboard, lead_id) == "contacted"
        await visitor.check()
        # Undo restores the status and the focus.
        await visitor.page.get_by_role("button", name="Undo").click()
        await visitor.expect_toast("Status changed to New.")
        await expect(status_of(visitor, name)).to_have_value("received")
        await expect(status_of(visitor, name)).to_be_focused()
        assert await stored_status(dashboard, lead_id) == "received"
        await visitor.page.get_by_role("button", name="Dismiss").click()
        await expect(visitor.page.locator("#toasts")).to_be_empty()
        await expect(status_of(visitor, name)).to_be_focused()


async def test_an_undo_does_not_revert_what_somebody_else_changed(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        name, lead_id = await post_and_list(dashboard, visitor)
        await status_of(visitor, name).select_option("contacted")
        await save_of(visitor, name).click()
        await visitor.expect_toast("Status changed to Contacted.")
        # Somebody else comes to the same status, by way of another one.
        for status in ("won", "contacted"):
            await dashboard.watched.installation.admin(
                "PATCH", f"/admin/leads/{lead_id}/status?new_status={status}"
            )
        await visitor.page.get_by_role("button", name="Undo").click()
        await visitor.expect_toast("This lead was changed since.")
        assert await stored_status(dashboard, lead_id) == "contacted"
        assert [problem for problem in visitor.problems if "409" not in problem] == []


async def test_regression_a_release_from_spam_is_confirmed(
    dashboard: Dashboard,
) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        posts: list[str] = []

        def record_post(request: Request) -> None:
            if request.method == "POST" and request.url.endswith("/status"):
                posts.append(request.url)

        page.on("request", record_post)
        name, lead_id = await post_and_list(dashboard, visitor, spam=True)
        status = status_of(visitor, name)
        await expect(status).to_have_value("spam")
        await status.focus()
        await page.keyboard.press("ArrowUp")
        await expect(status).to_have_value("received")
        await expect(save_of(visitor, name)).to_be_visible()
        assert posts == []
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Release this lead from spam?")
        await expect(dialog).to_contain_text("This sends the confirmation to the lead")
        await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        await visitor.check()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(status).to_be_focused()
        assert await stored_status(dashboard, lead_id) == "spam"
        await page.keyboard.press("Enter")
        await dialog.get_by_role("button", name="Release and send emails").press("Enter")
        await visitor.expect_toast("Status changed to New. Sending the confirmation and the notification.")
        await expect(dialog).to_be_hidden()
        await expect(status).to_be_focused()
        await expect(page.get_by_role("button", name="Undo")).to_have_count(0)

        async def mails() -> int:
            return count_emails(dashboard, lead_id)

        assert await eventually(mails, until=lambda count: count >= 2, seconds=30, what="both mails") == 2


async def test_status_and_spam_release_work_without_javascript(
    dashboard: Dashboard,
) -> None:
    async with dashboard.visit() as visitor:
        name, lead_id = await post_and_list(dashboard, visitor, spam=True)
    async with dashboard.visit_without_script() as visitor:
        page = visitor.page
        await page.goto(f"{visitor.url}/admin/ui/leads")
        await status_of(visitor, name).select_option("received")
        await save_of(visitor, name).click()
        await expect(page.get_by_role("heading", name="Release this lead from spam?")).to_be_visible()
        assert await stored_status(dashboard, lead_id) == "spam"
        await page.get_by_role("button", name="Release and send emails").click()
        await page.wait_for_url(f"**/admin/ui/leads/{lead_id}")
        await status_of(visitor, name).select_option("won")
        await save_of(visitor, name).click()
        await expect(status_of(visitor, name)).to_have_value("won")
        assert await stored_status(dashboard, lead_id) == "won"


async def test_regression_send_again_and_replay_confirm_in_a_toast(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    email, reason = f"{tag}@example.com", "553 5.1.3 odd address"
    smtp = dashboard.watched.smtp
    smtp.always[f"rcpt:{email}"] = reason
    lead_id = await dashboard.post(name=f"Rita {tag}", email=email)
    async with dashboard.visit() as visitor:
        page = visitor.page

        async def dead() -> bool:
            await visitor.open(f"/admin/ui/leads/{lead_id}")
            return await page.get_by_role("button", name="Send again: confirmation email").count() > 0

        await eventually(dead, seconds=60, every=1, what="a mail that failed")
        await page.get_by_role("button", name="Send again: confirmation email").first.click()
        await visitor.expect_toast("Sending the confirmation email again.")
        await expect(page.locator("#toasts .toast")).to_have_count(1)

        async def failed_again() -> bool:
            await visitor.open("/admin/ui/workbench/items?stage=notifier&kind=welcome&state=dead")
            row = page.get_by_role("row").filter(has_text=lead_id[-8:])
            return await row.get_by_role("button", name="Retry").count() > 0

        await eventually(failed_again, seconds=60, every=1, what="the row")
        row = page.get_by_role("row").filter(has_text=lead_id[-8:])
        await row.get_by_role("button", name="Retry").click()
        await expect(page.locator("#toasts .toast")).to_have_count(1, timeout=TIMEOUT_MS)
        assert await page.locator("#toasts").inner_text()
    del smtp.always[f"rcpt:{email}"]
