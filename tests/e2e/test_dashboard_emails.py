"""The preview of emails in a real browser: the policy of the page permits its frame, and nothing more."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_frame_shows_the_email_in_the_chosen_language(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        await visitor.open("/admin/status")
        await visitor.page.get_by_role("link", name="Preview emails").click()
        frame = visitor.page.frame_locator("iframe.email")
        await expect(frame.get_by_role("heading", name="Thank you, Ada Lovelace")).to_be_visible()
        await visitor.page.get_by_label("Language of the lead").select_option("pl")
        await visitor.page.get_by_role("button", name="Show").click()
        await expect(frame.locator("p", has_text="Otrzymaliśmy Państwa zapytanie.")).to_be_visible()
        await visitor.page.get_by_label("Email", exact=True).select_option("Team notification")
        await visitor.page.get_by_role("button", name="Show").click()
        await expect(frame.get_by_role("link", name="ada@example.com")).to_be_visible()
        await visitor.check()
