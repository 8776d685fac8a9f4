"""The form of the website in a real browser: messages, accessibility, spam and files."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.web.browser import TIMEOUT_MS, Size, open_window
from tests.support.web.plain_http import plain_client
from tests.support.web.site_environment import SiteEnvironment, fill, is_thanked, new_email, press_send

# The proxy, the browser and the tests share one loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_form_works_without_javascript(environment: SiteEnvironment) -> None:
    email = new_email()
    async with environment.visit("phone", java_script_enabled=False) as page:
        await page.goto(f"{environment.site.url}/contact?utm_source=letter")
        await fill(page, "grace@localhost")  # the browser accepts it, the site does not
        await press_send(page)
        await expect(page.get_by_text("Please enter an email address")).to_be_visible()
        assert "utm_source=letter" in page.url
        assert "grace" not in page.url
        assert await page.get_by_label("Your message").input_value() == "Please call me."
        assert await page.get_by_label("What is it about?").input_value() == "Website"
        assert await page.get_by_label("You may store what I wrote").is_checked()
        await page.get_by_label("Email", exact=True).fill(email)
        await page.wait_for_timeout(2100)
        await press_send(page)
        await is_thanked(page)
        assert page.url.endswith("/contact/thanks")
        await page.goto(f"{environment.site.url}/contact")
        assert await page.get_by_label("Your message").input_value() == ""
    lead = await environment.stored(email)
    assert lead["status"] == "received"
    await environment.mailed(lead["id"])


async def test_what_is_wrong_is_said_beside_its_field(environment: SiteEnvironment) -> None:
    email = new_email()
    async with environment.visit("phone") as page:
        await press_send(page)
        await expect(page.get_by_text("Please fill this in.")).to_have_count(4)
        await expect(page.get_by_label("Your name")).to_be_focused()
        # The site accepts this address; the gateway does not.
        await fill(page, "grace@example.invalid")
        await press_send(page)
        field = page.get_by_label("Email", exact=True)
        await expect(field).to_have_attribute("aria-invalid", "true", timeout=TIMEOUT_MS)
        await expect(field).to_be_focused()
        said = page.locator(f"#{await field.get_attribute('aria-describedby')}")
        await expect(said).to_contain_text("email address")
        assert await page.get_by_label("Your message").input_value() == "Please call me."
        await field.fill(email)
        await page.wait_for_timeout(2100)
        await press_send(page)
        await is_thanked(page)
    await environment.stored(email)
    assert await environment.site.depth() == 0


async def test_regression_a_page_that_stands_in_for_the_site_is_no_thanks(
    environment: SiteEnvironment,
) -> None:
    email = new_email()
    async with environment.visit() as page:
        await page.route("**/api/contact", lambda route: route.fulfill(status=200, body="Back soon"))
        await fill(page, email)
        await page.wait_for_timeout(2100)
        await press_send(page)
        await expect(page.locator(".problem")).to_contain_text("have not kept it", timeout=TIMEOUT_MS)
        await page.unroute("**/api/contact")
        await press_send(page)
        await is_thanked(page)
    await environment.stored(email)


async def test_regression_another_websites_form_leads_to_ours_and_sends_nothing(
    environment: SiteEnvironment,
) -> None:
    email = new_email()
    action = f"{environment.site.url}/api/contact"
    async with environment.visit() as page:
        await page.goto("about:blank")
        await page.set_content(
            f'<form method="post" action="{action}"><input name="email" value="{email}">'
            '<input name="name" value="Grace"><input name="message" value="Hi"><button>Send</button></form>'
        )
        await press_send(page)
        await expect(page.get_by_text("not come from our own form")).to_be_visible(timeout=TIMEOUT_MS)
        assert await page.get_by_label("Email", exact=True).input_value() == email
        await page.get_by_label("What is it about?").select_option("Website")
        await page.get_by_label("You may store what I wrote").check()
        await page.wait_for_timeout(2100)
        await press_send(page)
        await is_thanked(page)
    assert (await environment.stored(email))["status"] == "received"


async def test_a_bot_is_thanked_and_its_lead_is_spam_even_if_it_was_queued(
    environment: SiteEnvironment,
) -> None:
    email, hasty = new_email(), new_email()
    async with environment.visit(java_script_enabled=False) as page:
        await fill(page, email)
        await page.locator("[name=homepage_url]").fill("https://spam.example", force=True)
        await press_send(page)
        await is_thanked(page)
    lead = await environment.stored(email)
    assert lead["status"] == "spam"
    assert "honeypot" in lead["spam_reasons"]
    # Submitted too fast while FASTCore was unavailable: the time of the submission counts, not of the import.
    await environment.wire.stop()
    async with plain_client() as client:
        shown = datetime.now(UTC).isoformat()
        answer = await client.post(
            f"{environment.site.url}/api/contact",
            json={
                "name": "Bot", "email": hasty, "service": "x", "message": "y",
                "consent": True, "form_rendered_at": shown,
            },
            timeout=20,
        )  # fmt: skip
    assert answer.status_code == 202, answer.text
    await environment.wire.heal()
    await asyncio.sleep(2.1)  # longer than the minimum for a person
    await environment.flush()
    lead = await environment.stored(hasty)
    assert lead["spam_reasons"] == ["filled_too_fast"]


@pytest.mark.parametrize("scripted", [True, False])
async def test_regression_lead_with_file_arrives_without_it_and_says_so(
    environment: SiteEnvironment, *, scripted: bool
) -> None:
    email = new_email()
    async with environment.visit(java_script_enabled=scripted) as page:
        await fill(page, email)
        await page.evaluate(
            """() => {
                const form = document.querySelector('form');
                form.enctype = 'multipart/form-data';
                form.insertAdjacentHTML('beforeend', '<input type="file" name="plan" aria-label="Plan">');
            }"""
        )
        plan = {"name": "plan.pdf", "mimeType": "application/pdf", "buffer": b"%PDF" * 500_000}
        field = page.get_by_label("Plan")
        await field.set_input_files(plan)  # type: ignore[arg-type] # a TypedDict of its own
        # With the script, the file is refused when it is chosen.
        assert await field.input_value() == ("" if scripted else "C:\\fakepath\\plan.pdf")
        await page.wait_for_timeout(2100)
        await press_send(page)
        await is_thanked(page)
        await expect(page.get_by_text("without its files")).to_be_visible()
    lead = await environment.stored(email)
    detail = (await environment.fastcore.admin("GET", f"/admin/leads/{lead['id']}")).json()["lead"]
    named = {} if scripted else {"plan": "plan.pdf"}
    assert detail["extra"] == {**named, "files_not_stored": "plan.pdf"}


async def test_errors_go_while_typing_and_another_message_can_be_sent(environment: SiteEnvironment) -> None:
    emails = [new_email(), new_email()]
    async with environment.visit() as page:
        await page.evaluate("""() => {
            window.sent = [];
            addEventListener("lead-sent", ({ detail }) => window.sent.push(detail));
        }""")
        await press_send(page)
        wrong = page.get_by_text("Please fill this in.")
        await expect(wrong).to_have_count(4)
        await page.get_by_label("Your name").press_sequentially("G")
        await expect(wrong).to_have_count(3)
        for email in emails:
            await fill(page, email)
            await page.wait_for_timeout(2100)
            await press_send(page)
            await is_thanked(page)
            lead_id = str((await environment.stored(email))["id"])
            await expect(page.get_by_text(f"Reference: {lead_id}")).to_be_visible()
            assert (await page.evaluate("window.sent"))[-1] == lead_id
            await page.get_by_role("button", name="Write another message").click()
            await expect(page.get_by_label("Email", exact=True)).to_have_value("")
        assert len(await page.evaluate("window.sent")) == 2


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_is_accessible_and_fits(
    environment: SiteEnvironment, size: Size, theme: Any
) -> None:
    async with open_window(environment.browser, environment.site.url, size, theme) as visitor:
        for path in ("/", "/contact", "/contact/thanks"):
            await visitor.open(path)
            await visitor.check()
        await visitor.open("/contact")
        await press_send(visitor.page)
        await expect(visitor.page.get_by_text("Please fill this in.").first).to_be_visible()
        await visitor.check()
