"""`fastcore.js` on a static page of another origin, in a browser, with a real gateway and a real broker."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS, running_browser
from tests.support.web.static_pages import running_pages

FORM_KEY, GERMAN_KEY = "studio-4k7w9q2m", "nord-4k7w9q2m"
# The number of messages that wait in the browser.
KEPT = """new Promise((done) => {
  indexedDB.open("fastcore").onsuccess = ({ target }) => {
    const counted = target.result.transaction("sent").objectStore("sent").count();
    counted.onsuccess = () => done(counted.result);
  };
})"""
PAGE = """<!doctype html><html lang="{language}"><head><title>Contact</title><link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; form-action {gateway};
script-src {gateway}; connect-src {gateway}; require-trusted-types-for 'script'"></head>
<body><form method="post" action="{gateway}/inbound/forms/{key}" {texts}>
<label>Name <input name="name"></label>
<label>Email <input name="your-email" type="email" required></label>
<label>Message <textarea name="message"></textarea></label>
<label><input name="news" type="checkbox"> News</label>
<input name="_gotcha" hidden tabindex="-1" autocomplete="off">
<button>Send</button>
</form>
<script defer src="{gateway}/{script}" data-campaign></script></body></html>"""


@dataclass(frozen=True)
class StaticSite:
    """A static website in a browser, and the gateway that its form posts to.

    `elsewhere` is an origin with the same pages that is none of the site's origins.
    """

    page: Page
    elsewhere: str
    gateway: ServiceProcess
    kafka: Kafka

    async def leads(self) -> list[LeadReceived]:
        records = await records_of(self.kafka, topics.RECEIVED.name)
        return [LeadReceived.model_validate_json(record.value) for record in records]

    async def lead(self) -> LeadReceived:
        """Wait for the only lead."""
        (lead,) = await eventually(self.leads, what="a lead")
        return lead

    async def fill(self) -> None:
        await self.page.get_by_label("Name").fill("Ada")
        await self.page.get_by_label("Email").fill("ada@example.com")
        await self.page.get_by_label("Message").fill("Please call me.")

    async def send(self) -> None:
        await self.page.get_by_role("button").click()

    async def expect_status(self, text: str) -> None:
        await expect(self.page.get_by_role("status")).to_contain_text(text, timeout=TIMEOUT_MS)


@pytest.fixture
async def site(kafka: Kafka, tmp_path: Path) -> AsyncIterator[StaticSite]:
    file, pages = tmp_path / "sites.toml", dict[str, str]()
    with running_pages(pages) as port:
        url = f"http://127.0.0.1:{port}"
        file.write_text(
            f'[defaults]\norigins = ["{url}"]\n[sites.studio]\nform_key = "{FORM_KEY}"\n'
            f'[sites.nord]\nform_key = "{GERMAN_KEY}"\nlocale = "de"\n'
        )
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "FASTCORE_SITE_INGEST_TOKEN": "",
            "FASTCORE_SITES_FILE": str(file),
            "DEBUG": "false",
        }
        with processes(tmp_path, environment, "ingest") as services:
            gateway = services["ingest"]
            await gateway.ready()
            pages["/"] = pages["/contact"] = page_of(
                gateway.url, FORM_KEY, "en", 'data-thanks="We have it."', "inbound/static/fastcore.js"
            )
            script = f"inbound/forms/{GERMAN_KEY}/fastcore.js"
            pages["/kontakt"] = page_of(gateway.url, GERMAN_KEY, "de", "", script)
            async with running_browser() as browser:
                page = await browser.new_page(base_url=url)
                yield StaticSite(page, f"http://localhost:{port}", gateway, kafka)


def page_of(gateway: str, key: str, language: str, texts: str, script: str) -> str:
    return PAGE.format(gateway=gateway, key=key, language=language, texts=texts, script=script)


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


async def test_draft_survives_a_reload_and_a_message_a_gateway_that_is_down(site: StaticSite) -> None:
    page = site.page
    await page.goto("/contact")
    await site.fill()
    await page.get_by_label("News").check()
    await page.reload()
    assert await page.get_by_label("Message").input_value() == "Please call me."
    assert await page.get_by_label("News").is_checked()
    site.gateway.kill()
    await site.send()
    await site.expect_status("will be sent soon")
    assert not await site.leads()
    site.gateway.start()
    await site.gateway.ready()
    await page.goto("/contact")  # the visitor comes back
    assert await page.get_by_label("Message").input_value() == ""
    assert (await site.lead()).message == "Please call me."
    await eventually(lambda: page.evaluate(KEPT), until=lambda kept: kept == 0, what="an empty store")
    assert len(await site.leads()) == 1


async def test_message_that_waits_is_sent_once_the_browser_is_online(site: StaticSite) -> None:
    page = site.page
    await page.goto("/contact")
    await site.fill()
    await page.context.set_offline(True)
    await site.send()
    await site.expect_status("will be sent soon")
    await page.context.set_offline(False)  # no reload
    assert (await site.lead()).email == "ada@example.com"
    await site.expect_status("Your saved message has been sent.")


async def test_visitor_who_comes_back_reads_that_the_message_was_sent(site: StaticSite) -> None:
    page = site.page
    await page.goto("/kontakt")
    await site.fill()
    site.gateway.kill()
    await site.send()
    await site.expect_status("Gespeichert. Wird bald gesendet.")
    site.gateway.start()
    await site.gateway.ready()
    await page.goto("/kontakt")
    await site.expect_status("Die gespeicherte Nachricht wurde gesendet.")
    assert (await site.lead()).message == "Please call me."


async def test_a_message_refused_after_it_waited_comes_back_once(site: StaticSite) -> None:
    page, email = site.page, site.page.get_by_label("Email")
    await page.goto("/kontakt")
    await site.fill()
    await page.get_by_label("News").check()
    await email.fill("ada@example.invalid")  # the browser accepts it, the gateway does not
    site.gateway.kill()
    await site.send()
    await site.expect_status("Gespeichert. Wird bald gesendet.")
    await page.get_by_label("Message").fill("Another message")
    site.gateway.start()
    await site.gateway.ready()
    async with page.expect_response(site.gateway.url + "/**/forms/**"):
        await page.goto("/kontakt")
    assert await page.get_by_label("Message").input_value() == "Another message"  # a draft takes precedence
    assert await page.evaluate(KEPT) == 1
    await page.get_by_label("Message").fill("")
    await page.evaluate("sessionStorage.clear()")
    await page.goto("/kontakt")
    await site.expect_status("Bitte prüfen Sie Ihre Nachricht")
    await expect(page.locator("#your-email-fastcore")).to_contain_text("E-Mail-Adresse")
    for _ in range(2):  # the visitor has it as a draft, and reads the refusal once
        assert await page.get_by_label("Message").input_value() == "Please call me."
        assert await page.get_by_label("News").is_checked()
        assert await page.evaluate(KEPT) == 0
        await page.goto("/kontakt")
        await expect(page.get_by_role("status")).to_have_text("")
    await email.fill("ada@example.com")
    await site.send()
    await site.expect_status("Ihre Nachricht wurde gesendet.")
    assert (await site.lead()).message == "Please call me."


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
