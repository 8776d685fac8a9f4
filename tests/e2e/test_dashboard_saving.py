"""Saving a lead in a real browser: in place, with messages at the fields, and a prompt before leaving."""

from uuid import uuid4

import pytest
from playwright.async_api import Dialog, Page, expect

from tests.e2e.conftest import Dashboard
from tests.support.services.installation import ADMIN_TOKEN
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_lead(dashboard: Dashboard, visitor: Visitor, suffix: str = "") -> str:
    """Post a lead, wait until it is stored, and open its page or one below it; return its path."""
    tag = uuid4().hex[:10]
    lead_id = await dashboard.post(name=f"Sal {tag}", email=f"{tag}@example.com")

    async def stored() -> bool:
        answer = await dashboard.watched.installation.admin("GET", f"/admin/leads/{lead_id}")
        return answer.status_code == 200 and bool(answer.json()["lead"])

    await eventually(stored, what="the stored lead")
    await visitor.open(f"/admin/ui/leads/{lead_id}{suffix}")
    return f"/admin/ui/leads/{lead_id}"


async def save(page: Page) -> None:
    await page.get_by_role("button", name="Save", exact=True).click()


async def test_regression_an_assignee_is_saved_in_place_with_a_message_there(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        path = await open_lead(dashboard, visitor)
        await page.get_by_label("Assignee").fill("Tom")
        await save(page)
        message = page.get_by_role("region", name="Follow-up").get_by_role("status")
        await expect(message).to_have_text("Saved.", timeout=TIMEOUT_MS)
        await expect(page.get_by_role("button", name="Save", exact=True)).to_be_focused()
        await expect(page.locator("#toasts")).to_be_empty()
        # The message is true until the text changes.
        await page.get_by_label("Assignee").fill("Tomas")
        await expect(message).to_be_empty()
        assert visitor.documents == [path]
        await save(page)
        await expect(message).to_have_text("Saved.")
        await page.reload()
        await expect(page.get_by_label("Assignee")).to_have_value("Tomas")
        await visitor.check()


async def test_regression_leaving_with_unsaved_notes_needs_confirmation(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        path = await open_lead(dashboard, visitor)
        questions = list[str]()

        async def stay(dialog: Dialog) -> None:
            questions.append(dialog.type)
            await dialog.dismiss()

        page.on("dialog", stay)
        await page.get_by_label("New note").press_sequentially("Call her on")
        await page.get_by_role("link", name="Audit log").click()
        await eventually(lambda: _count(questions), what="the question")
        assert (questions, visitor.path) == (["beforeunload"], path)
        await expect(page.get_by_label("New note")).to_have_value("Call her on")
        # Saved text needs no confirmation.
        await page.get_by_role("button", name="Save note").click()
        await visitor.expect_toast("Note saved.")
        await page.get_by_role("link", name="Audit log").click()
        await page.wait_for_url("**/admin/ui/audit")
        assert questions == ["beforeunload"]


@pytest.mark.parametrize("is_in_other_tab", [False, True], ids=["login", "other tab"])
async def test_regression_text_of_an_expired_session_comes_back(
    dashboard: Dashboard, *, is_in_other_tab: bool
) -> None:
    async with dashboard.visit() as visitor:
        page, questions = visitor.page, list[str]()
        await open_lead(dashboard, visitor)

        async def stay(dialog: Dialog) -> None:
            questions.append(dialog.type)
            await dialog.dismiss()

        page.on("dialog", stay)
        note = page.get_by_label("New note")
        await note.press_sequentially("Call her on Monday")
        await page.get_by_label("Assignee").fill("Tom")
        await page.context.clear_cookies()
        if is_in_other_tab:
            await Visitor(await page.context.new_page(), dashboard.url).sign_in(ADMIN_TOKEN)
        await page.get_by_role("button", name="Save note").click()
        if is_in_other_tab:
            await visitor.expect_toast("The form has expired")
            await page.reload()
        else:
            await page.wait_for_url("**/admin/login?next=**")
            await page.get_by_label("Admin token").fill(ADMIN_TOKEN)
            await page.get_by_role("button", name="Sign in").click()
        await expect(note).to_have_value("Call her on Monday", timeout=TIMEOUT_MS)
        await expect(page.get_by_label("Assignee")).to_have_value("Tom")
        assert questions == []
        await page.get_by_role("button", name="Save note").click()
        await visitor.expect_toast("Note saved.")
        await save(page)
        await expect(page.locator("#saved")).to_have_text("Saved.")
        await page.reload()
        await expect(note).to_have_value("")
        visitor.problems.clear()  # the 401 or 403


async def _count(questions: list[str]) -> int:
    return len(questions)


async def test_regression_a_bad_address_is_refused_at_its_field(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        path = await open_lead(dashboard, visitor, "/edit")
        email = page.get_by_label("Email")
        await page.get_by_label("Company").fill("Engines")
        for wrong in ("ada@", "ada@example", "ada example.com", ""):
            await email.fill(wrong)
            await save(page)
            await expect(email).to_have_attribute("aria-invalid", "true", timeout=TIMEOUT_MS)
            await expect(email).to_be_focused()
            words = "can be changed, but not removed" if not wrong else "Enter a complete email address"
            await expect(page.locator("#email-error")).to_contain_text(words)
            await expect(page.locator("#toasts")).to_be_empty()
        # The browser reports the refusals, and must report nothing else.
        assert [
            problem for problem in visitor.problems if "422" not in problem and "409" not in problem
        ] == []
        visitor.problems.clear()
        await visitor.check()
        await expect(page.get_by_label("Company")).to_have_value("Engines")
        await email.fill("ada@example.com")
        await save(page)
        # Back at the lead, without a question about unsaved text.
        await visitor.expect_toast("Saved.")
        await expect(page.get_by_text("ada@example.com").first).to_be_visible()
        assert visitor.documents == [f"{path}/edit", path]
        await expect(page).to_have_url(f"{visitor.url}{path}")  # a reload does not say it again
        await page.reload()
        await expect(page.locator("#toasts")).to_be_empty()


async def test_a_conflict_keeps_the_text_and_says_so_at_the_form(dashboard: Dashboard) -> None:
    async with dashboard.visit() as first, dashboard.visit() as second:
        path = await open_lead(dashboard, first)
        await second.open(path)
        await second.page.get_by_label("Assignee").fill("theirs")
        await save(second.page)
        await expect(second.page.locator("#saved")).to_have_text("Saved.", timeout=TIMEOUT_MS)
        await first.page.get_by_label("Assignee").fill("mine")
        await save(first.page)
        follow_up = first.page.get_by_role("region", name="Follow-up")
        await expect(follow_up.get_by_role("alert")).to_contain_text("Somebody updated this lead")
        await expect(first.page.get_by_label("Assignee")).to_have_value("mine")


async def test_a_bad_address_is_refused_without_javascript(dashboard: Dashboard) -> None:
    async with dashboard.visit_without_script() as visitor:
        page = visitor.page
        path = await open_lead(dashboard, visitor, "/edit")
        await page.get_by_label("Email").fill("ada@")
        await save(page)
        await expect(page.locator("#email-error")).to_contain_text("Enter a complete email address")
        await expect(page.get_by_label("Email")).to_have_value("ada@")
        await page.get_by_label("Email").fill("ada@example.com")
        await save(page)
        await page.wait_for_url(f"**{path}?saved=1")
        await visitor.expect_toast("Saved.")
