"""HTML forms of a static page in a browser: another origin, a real gateway and a real broker."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import processes
from tests.support.wait import eventually
from tests.support.web.browser import Visitor, open_window, running_browser
from tests.support.web.static_pages import running_pages

FORM_KEY, GUARDED_KEY = "studio-4k7w9q2m", "guarded-4k7w9q2m"
CAMPAIGN = "?utm_source=newsletter&utm_campaign=spring&gclid=abc"
FORM = """<!doctype html><html lang="de"><head><title>Kontakt</title>
<meta name="referrer" content="no-referrer-when-downgrade"><link rel="icon" href="data:,"></head><body>
<form method="post" action="{gateway}/inbound/forms/{key}" enctype="{encoding}" novalidate>
<label>Name <input name="name"></label>
<label>E-Mail <input name="your-email" type="email"></label>
<label>Nachricht <textarea name="Nachricht"></textarea></label>
<label>Lebenslauf <input name="cv" type="file"></label>
<input type="hidden" name="_next" value="{next}">
<button>Senden</button>
</form><output></output>
<script>
const form = document.forms[0];
if (location.hash === "#script") form.addEventListener("submit", async event => {{
  event.preventDefault();
  const answer = await fetch(form.action,
    {{method: "POST", body: new FormData(form), headers: {{Accept: "application/json"}}}});
  document.querySelector("output").textContent = answer.status + " " + (await answer.json()).leadId;
}});
</script></body></html>"""

GUARDED = """<!doctype html><html lang="{language}"><head><title>Contact</title>
<link rel="icon" href="data:,"></head><body>
<form method="post" action="{gateway}/inbound/forms/{key}">
<label>Email <input name="email" type="email"></label>
<label>Message <textarea name="message"></textarea></label>
<altcha-widget challenge="{gateway}/inbound/forms/{key}/challenge"></altcha-widget>
<button>Send</button>
</form>
<script defer src="{gateway}/inbound/static/altcha-3.2.2.js"></script></body></html>"""


@dataclass(frozen=True)
class Website:
    """A static website, the gateway that its forms post to, and a browser."""

    port: int
    gateway: str
    kafka: Kafka
    browser: Browser

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def lead(self) -> LeadReceived:
        """Wait for the lead on the topic, and return it."""
        records = await eventually(lambda: records_of(self.kafka, topics.RECEIVED.name), what="a lead")
        (record,) = records
        return LeadReceived.model_validate_json(record.value)


@pytest.fixture
async def website(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Website]:
    file, pages = tmp_path / "sites.toml", dict[str, str]()
    with running_pages(pages) as port:
        file.write_text(
            f'[sites.studio]\nname = "Studio Nord"\nform_key = "{FORM_KEY}"\nlocale = "de"\n'
            f'origins = ["http://127.0.0.1:{port}"]\n\n'
            f'[sites.guarded]\nform_key = "{GUARDED_KEY}"\norigins = ["http://127.0.0.1:{port}"]\n'
            'captcha = { kind = "altcha", secret = "env:CAPTCHA_SECRET" }\n'
        )
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "FASTCORE_SITE_INGEST_TOKEN": "",
            "CAPTCHA_SECRET": "a-secret-of-the-captcha-0123456789",
            "FASTCORE_SITES_FILE": str(file),
            "DEBUG": "false",
        }
        with processes(tmp_path, environment, "ingest") as started:
            gateway = started["ingest"]
            await gateway.ready()
            pages |= {
                "/contact": page_of(gateway.url, "application/x-www-form-urlencoded"),
                "/upload": page_of(gateway.url, "multipart/form-data", "/danke"),
                "/guarded": GUARDED.format(gateway=gateway.url, key=GUARDED_KEY, language="en"),
                "/geschuetzt": GUARDED.format(gateway=gateway.url, key=GUARDED_KEY, language="de-AT"),
                "/danke": '<!doctype html><html lang="de"><title>Danke</title><h1>Danke!</h1></html>',
            }
            async with running_browser() as browser:
                yield Website(port, gateway.url, kafka, browser)


def page_of(gateway: str, encoding: str, next_page: str = "") -> str:
    return FORM.format(gateway=gateway, key=FORM_KEY, encoding=encoding, next=next_page)


async def fill_and_send(page: Page, email: str = "ada@example.com") -> None:
    await page.get_by_label("Name").fill("Ada Lovelace")
    await page.get_by_label("E-Mail").fill(email)
    await page.get_by_label("Nachricht").fill("Zeile 1\nZeile 2")
    await page.get_by_role("button", name="Senden").click()


@pytest.mark.parametrize("script", [True, False])
async def test_a_visitor_is_thanked_and_the_lead_has_its_campaign(website: Website, script: bool) -> None:
    async with open_window(website.browser, website.gateway, java_script_enabled=script) as visitor:
        await visitor.page.goto(f"{website.url}/contact{CAMPAIGN}")
        await fill_and_send(visitor.page)
        await expect(visitor.page.get_by_role("heading", name="Vielen Dank")).to_be_visible()
        assert visitor.page.url == f"{website.gateway}/inbound/forms/{FORM_KEY}/thanks"
        await visitor.page.reload()
        await expect(visitor.page.get_by_role("link", name="Zurück zur Website")).to_be_visible()
    lead = await website.lead()
    assert (lead.site, lead.name, lead.email) == ("studio", "Ada Lovelace", "ada@example.com")
    assert (lead.message, lead.spam_reasons, lead.extra) == ("Zeile 1\nZeile 2", (), {})
    assert lead.source
    assert (lead.source.utm_source, lead.source.utm_campaign, lead.source.gclid) == (
        "newsletter",
        "spring",
        "abc",
    )
    assert lead.source.page_url == f"{website.url}/contact{CAMPAIGN}"


async def test_a_mistake_is_corrected_on_the_gateways_page_without_script(
    website: Website, tmp_path: Path
) -> None:
    cv = tmp_path / "cv.pdf"
    cv.write_bytes(b"x" * 1_000_000)
    async with open_window(website.browser, website.gateway, java_script_enabled=False) as visitor:
        page = visitor.page
        await page.goto(f"{website.url}/upload{CAMPAIGN}")
        await page.get_by_label("Lebenslauf").set_input_files(cv)
        await fill_and_send(page, email="ada@")
        await expect(page.get_by_role("heading", name="Bitte prüfen Sie Ihre Nachricht")).to_be_visible()
        await expect(page.get_by_label("Nachricht")).to_have_value("Zeile 1\nZeile 2")
        address = page.get_by_label("E-Mail")
        await expect(address).to_have_attribute("aria-invalid", "true")
        await address.fill("ada@example.com")
        await page.get_by_role("button", name="Senden").click()
        # On a page of the website: the gateway's policy for form targets allows the redirect.
        await expect(page.get_by_role("heading", name="Danke!")).to_be_visible()
        assert page.url == f"{website.url}/danke"
    lead = await website.lead()
    assert (lead.email, lead.message) == ("ada@example.com", "Zeile 1\nZeile 2")
    assert lead.source
    assert lead.source.utm_campaign == "spring"


@pytest.mark.parametrize("script", [True, False])
async def test_a_page_of_another_origin_is_refused_with_a_clear_message(
    website: Website, script: bool
) -> None:
    elsewhere = f"http://localhost:{website.port}"
    async with open_window(website.browser, website.gateway, java_script_enabled=script) as visitor:
        page = visitor.page
        await page.goto(f"{elsewhere}/contact{CAMPAIGN}")
        await fill_and_send(page)
        await expect(page.get_by_role("heading")).to_have_text("Ihre Nachricht wurde nicht gesendet")
        await expect(page.locator("main")).to_contain_text("Dieses Formular kann von der vorherigen Seite")
        await expect(page.locator(".note")).to_contain_text(f"{elsewhere} fehlt in den origins")
        await expect(page.get_by_label("Nachricht")).to_have_value("Zeile 1\nZeile 2")
        await expect(page.get_by_role("link", name="Zurück zur Website")).to_have_attribute(
            "href", website.url
        )
        if script:
            await check_page(visitor)
        assert await records_of(website.kafka, topics.RECEIVED.name) == []
        # Only the visitor can send it, from a page that no other website can use.
        await page.get_by_role("button", name="Senden").click()
        await expect(page.get_by_role("heading", name="Vielen Dank")).to_be_visible()
    lead = await website.lead()
    assert lead.source
    assert (lead.source.page_url, lead.source.utm_campaign) == (f"{elsewhere}/contact{CAMPAIGN}", "spring")


async def test_a_script_of_the_page_gets_json(website: Website) -> None:
    async with open_window(website.browser, website.gateway) as visitor:
        await visitor.page.goto(f"{website.url}/contact{CAMPAIGN}#script")
        await fill_and_send(visitor.page)
        output = visitor.page.locator("output")
        await expect(output).to_contain_text("201 ")
        lead = await website.lead()
        await expect(output).to_have_text(f"201 {lead.lead_id}")


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_the_gateways_pages_are_accessible(website: Website, size: str) -> None:
    async with open_window(website.browser, website.gateway, size) as visitor:  # type: ignore[arg-type]
        await visitor.page.goto(f"{website.url}/contact{CAMPAIGN}")
        await fill_and_send(visitor.page, email="ada@" + "x" * 90)
        await expect(visitor.page.get_by_role("alert")).to_be_visible()
        await check_page(visitor)
        await visitor.page.get_by_label("E-Mail").fill("ada@example.com")
        await visitor.page.get_by_role("button", name="Senden").click()
        await expect(visitor.page.get_by_role("heading", name="Vielen Dank")).to_be_visible()
        await check_page(visitor)
    assert (await website.lead()).email == "ada@example.com"


async def check_page(visitor: Visitor) -> None:
    """Check accessibility, contrast and width. The browser reports the 422 and the website as problems."""
    visitor.problems.clear()
    await visitor.check_in_both_themes()


@pytest.mark.parametrize("solved", [True, False])
async def test_a_lead_whose_captcha_the_browser_solved_is_no_spam(website: Website, solved: bool) -> None:
    async with open_window(website.browser, website.gateway, java_script_enabled=solved) as visitor:
        page = visitor.page
        await page.goto(f"{website.url}/guarded")
        await page.get_by_label("Email").fill("ada@example.com")
        await page.get_by_label("Message").fill("Hello")
        if solved:
            await page.locator("altcha-widget label").click()
            await expect(page.get_by_text("Verified", exact=True)).to_be_visible(timeout=30_000)
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert (await website.lead()).spam_reasons == (() if solved else ("captcha_missing",))


async def test_the_captcha_has_the_language_of_the_page(website: Website) -> None:
    async with open_window(website.browser, website.gateway) as visitor:
        await visitor.page.goto(f"{website.url}/geschuetzt")
        await visitor.page.locator("altcha-widget").get_by_text("Ich bin kein Roboter").click()
        verified = visitor.page.get_by_text("Überprüft", exact=True)
        await expect(verified).to_be_visible(timeout=30_000)
