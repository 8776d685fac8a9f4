"""Deleting a person's data in a real browser: all of the person's leads, after the address was typed."""

from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_leads import find_lead, search
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("size", SIZES)
async def test_all_leads_of_a_person_are_deleted_after_the_address_was_typed(
    dashboard: Dashboard, size: Size
) -> None:
    tag = uuid4().hex[:10]
    name, email = f"Erna {tag}", f"erna.{tag}@example.com"
    await dashboard.post_and_store(name=f"First {tag}", email=email)
    await dashboard.post_and_store(name=name, email=email)
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        await find_lead(visitor, tag, name)
        await expect(page.get_by_role("link", name=f"First {tag}")).to_be_visible(timeout=TIMEOUT_MS)
        await page.get_by_role("link", name=name).click()
        await page.get_by_role("link", name="Delete personal data").click()
        await expect(page.get_by_role("heading", name="Delete personal data?")).to_be_visible()
        await expect(page.get_by_text("2 leads of this person")).to_be_visible()
        await visitor.check()
        await page.get_by_role("link", name="Cancel").click()
        await expect(page.get_by_role("heading", name=name)).to_be_visible()
        await page.get_by_role("link", name="Delete personal data").click()
        await page.get_by_label("Type the address to confirm").fill("somebody@example.com")
        await page.get_by_role("button", name="Delete permanently").click()
        await expect(page.get_by_role("alert").filter(has_text="Nothing was deleted")).to_be_visible()
        visitor.problems.clear()  # the browser reports the 422
        await visitor.check()
        await page.get_by_label("Type the address to confirm").fill(email)
        await page.get_by_role("button", name="Delete permanently").click()
        await expect(page.get_by_role("heading", name="Personal data deleted")).to_be_visible()
        await expect(page.get_by_text("2 leads of this person")).to_be_visible()
        assert tag not in await page.content()
        await visitor.check()
        await page.get_by_role("row").nth(1).get_by_role("link").click()
        await expect(page.get_by_role("heading", name="Erased lead")).to_be_visible()
        timeline = page.get_by_role("region", name="Activity")
        await expect(timeline).to_contain_text("deleted the personal data", timeout=TIMEOUT_MS)
        assert tag not in await page.content()
        await visitor.open("/admin/ui/leads")
        await search(visitor, tag)
        await expect(page.get_by_text("No leads match")).to_be_visible()


@pytest.mark.parametrize("size", SIZES)
async def test_a_lead_with_a_corrected_address_is_not_ticked(dashboard: Dashboard, size: Size) -> None:
    tag = uuid4().hex[:10]
    name, email = f"Otto {tag}", f"otto.{tag}@example.com"
    corrected = await dashboard.post_and_store(name=f"Corrected {tag}", email=email)
    await dashboard.post_and_store(name=f"Second {tag}", email=email)
    await dashboard.post_and_store(name=name, email=email)
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        await find_lead(visitor, tag, name)
        await expect(page.get_by_role("link", name=f"Corrected {tag}")).to_be_visible(timeout=TIMEOUT_MS)
        await expect(page.get_by_role("link", name=f"Second {tag}")).to_be_visible(timeout=TIMEOUT_MS)
        other = {"email": f"other.{tag}@example.com"}
        answer = await dashboard.watched.installation.admin("PATCH", f"/admin/leads/{corrected}", json=other)
        assert answer.status_code == 200, answer.text
        await page.get_by_role("link", name=name).click()
        await page.get_by_role("link", name="Delete personal data").click()
        own = page.get_by_role("checkbox", name=f"Delete the lead of {name}")
        await expect(own).to_be_checked()
        await expect(own).to_be_disabled()
        await expect(page.get_by_role("checkbox", name=f"Delete the lead of Second {tag}")).to_be_checked()
        box = page.get_by_role("checkbox", name=f"Delete the lead of Corrected {tag}")
        await expect(box).not_to_be_checked()
        await visitor.check()
        await page.get_by_label("Type the address to confirm").fill(email)
        await page.get_by_role("button", name="Delete permanently").click()
        await expect(page.get_by_text("2 leads of this person")).to_be_visible()
        unselected = page.get_by_role("region", name="Not selected")
        await expect(unselected).to_contain_text(f"Corrected {tag}")
        await visitor.check()


async def test_regression_leads_of_the_same_phone_are_listed(dashboard: Dashboard) -> None:
    tag, digits = uuid4().hex[:10], f"{uuid4().int % 10**8:08}"
    await dashboard.post_and_store(
        name=f"Shared {tag}", email=f"shared.{tag}@example.com", phone=f"020 {digits}"
    )
    await dashboard.post_and_store(name=f"Phoned {tag}", email=None, phone=f"(020) {digits}")
    await dashboard.post_and_store(name=f"Pia {tag}", email=f"pia.{tag}@example.com", phone=f"+4420{digits}")
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        await find_lead(visitor, tag, f"Pia {tag}")
        for name in ("Shared", "Phoned"):
            await expect(page.get_by_role("link", name=f"{name} {tag}")).to_be_visible(timeout=TIMEOUT_MS)
        await page.get_by_role("link", name=f"Pia {tag}").click()
        await page.get_by_role("link", name="Delete personal data").click()
        await expect(page.get_by_text("3 leads of this person, found by address and phone")).to_be_visible()
        boxes = [page.get_by_role("checkbox", name=f"{name} {tag}") for name in ("Phoned", "Shared")]
        assert [await box.is_checked() for box in boxes] == [True, False]
        await visitor.check_in_both_themes()
        await page.get_by_label("Type the address to confirm").fill(f"pia.{tag}@example.com")
        await page.get_by_role("button", name="Delete permanently").click()
        await expect(page.get_by_text("2 leads of this person")).to_be_visible()
        await expect(page.get_by_role("region", name="Not selected")).to_contain_text(f"Shared {tag}")
        assert not any(tag in url or digits in url for url in visitor.urls)
        await visitor.check()


async def test_try_again_completes_a_deletion_that_failed(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    name, email = f"Rita {tag}", f"rita.{tag}@example.com"
    refused = await dashboard.post_and_store(name=f"Refused {tag}", email=email)
    await dashboard.post_and_store(name=name, email=email)
    fetch = dashboard.watched.installation.fetch
    async with dashboard.visit() as visitor:
        page = visitor.page
        await find_lead(visitor, tag, name)
        await expect(page.get_by_role("link", name=f"Refused {tag}")).to_be_visible(timeout=TIMEOUT_MS)
        await fetch(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$"
        )
        await fetch(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON lead_inbox FOR EACH ROW WHEN (new.id = '{refused}')"
            " EXECUTE FUNCTION refuse()"
        )
        try:
            await page.get_by_role("link", name=name).click()
            await page.get_by_role("link", name="Delete personal data").click()
            await page.get_by_label("Type the address to confirm").fill(email)
            await page.get_by_role("button", name="Delete permanently").click()
            await expect(page.get_by_role("heading", name="Some data was not deleted")).to_be_visible()
            await expect(page.get_by_role("region", name="Not deleted")).to_contain_text(f"Refused {tag}")
            await visitor.check()
            await page.get_by_role("button", name="Try again").click()
            await expect(page.get_by_text("0 leads of this person")).to_be_visible()
        finally:
            await fetch("DROP FUNCTION refuse CASCADE")
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_role("heading", name="Personal data deleted")).to_be_visible()
        await expect(page.get_by_text("1 lead of this person")).to_be_visible()
        assert tag not in await page.content()
        await visitor.check()
