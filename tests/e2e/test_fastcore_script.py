"""`fastcore.js` on a static page of another origin, in a browser, with a real gateway and a real broker."""

import pytest
from playwright.async_api import expect

from tests.support.web.browser import TIMEOUT_MS
from tests.support.web.static_site import StaticSite


async def test_script_says_what_is_wrong_and_sends_the_campaign_of_the_visit(site: StaticSite) -> None:
    page = site.page
    await page.goto("/?utm_source=letter&gclid=g1")
    await page.goto("/contact?utm_source=search")
    await site.send()
    email = page.get_by_label("Email")
    await expect(email).to_have_attribute("aria-invalid", "true")
    await expect(email).to_be_focused()
    await site.fill()
    await expect(page.locator(".fastcore-error")).to_have_count(0)
    await email.fill("ada@example.invalid")  # the browser accepts it, the gateway does not
    await site.send()
    await expect(page.locator("#your-email-fastcore")).to_contain_text("email", timeout=TIMEOUT_MS)
    await email.fill("ada@example.com")
    await site.send()
    await site.expect_status("We have it.")
    assert await email.input_value() == ""
    lead = await site.lead()
    assert (lead.name, lead.email, lead.message) == ("Ada", "ada@example.com", "Please call me.")
    assert lead.source is not None
    found = lead.source.model_dump(exclude_none=True)
    assert found["utm_source"] == "search"
    assert found["first_utm_source"] == "letter"
    assert found["first_gclid"] == "g1"
    assert "utm_source=letter" in found["landing_page"]
    assert lead.extra == {}


async def test_script_has_the_language_of_the_site(site: StaticSite) -> None:
    page = site.page
    await page.goto("/kontakt")
    await site.fill()
    await page.get_by_label("Email").fill("ada@example.invalid")
    await site.send()
    error = page.locator("#your-email-fastcore")
    await expect(error).to_contain_text("Bitte geben Sie eine E-Mail-Adresse", timeout=TIMEOUT_MS)
    await expect(page.get_by_label("Email")).to_be_focused()
    await site.expect_status("Bitte prüfen Sie Ihre Nachricht")
    await page.get_by_label("Email").fill("ada@example.com")
    await page.get_by_role("button").dblclick()
    await site.expect_status("Ihre Nachricht wurde gesendet. Wir melden uns bei Ihnen.")
    assert (await site.lead()).site == "nord"  # a double click is one lead


async def test_page_after_the_thanks_opens(site: StaticSite) -> None:
    page = site.page
    await page.goto("/contact")
    await page.evaluate(
        """() => {
          const next = Object.assign(document.createElement("input"), {type: "hidden", name: "_next"});
          next.value = "/contact?sent";
          document.forms[0].append(next);
        }"""
    )
    await site.fill()
    await site.send()
    await page.wait_for_url("**/contact?sent")
    assert (await site.lead()).extra == {}


async def test_a_refused_message_can_be_corrected_in_an_old_browser(
    site: StaticSite,
) -> None:
    page = site.page
    await page.add_init_script("delete Element.prototype.ariaInvalid")  # as in Firefox before 119
    await page.goto("/contact")
    await site.fill()
    await page.get_by_label("Email").fill("ada@example.invalid")
    await site.send()
    await expect(page.locator("#your-email-fastcore")).to_contain_text("email", timeout=TIMEOUT_MS)
    await page.get_by_label("Email").fill("ada@example.com")
    await site.send()
    await site.expect_status("We have it.")
    assert (await site.lead()).email == "ada@example.com"


async def test_page_of_another_origin_says_that_nothing_was_sent(site: StaticSite) -> None:
    page = site.page
    await page.goto(site.elsewhere + "/kontakt")
    await site.fill()
    await site.send()
    await site.expect_status("Ihre Nachricht wurde nicht gesendet")
    assert await page.get_by_label("Message").input_value() == "Please call me."
    assert not await site.leads()


@pytest.mark.parametrize("is_bot", [False, True])
async def test_honeypot_and_script_work_under_a_strict_policy(site: StaticSite, is_bot: bool) -> None:
    page, problems = site.page, list[str]()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.goto("/contact")
    await site.fill()
    honeypot = page.locator("[name=_gotcha]")
    await expect(honeypot).to_be_hidden()
    if is_bot:
        await honeypot.evaluate("(field) => { field.value = 'https://spam.example'; }")
    await site.send()
    await site.expect_status("We have it.")
    assert (await site.lead()).spam_reasons == (("honeypot",) if is_bot else ())
    assert problems == []  # such as what the policy refused
