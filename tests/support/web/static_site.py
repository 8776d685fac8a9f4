"""A static website whose forms use `fastcore.js`, in a browser, with a real gateway and a real broker."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
_STORE = """(messages) => new Promise((done) => {
  const opened = indexedDB.open("fastcore", 1);
  opened.onupgradeneeded = () => opened.result.createObjectStore("sent", { keyPath: "key" });
  opened.onsuccess = () => {
    const transaction = opened.result.transaction("sent", "readwrite");
    const sent = transaction.objectStore("sent");
    for (const each of messages) sent.put(each);
    const keys = sent.getAllKeys();
    transaction.oncomplete = () => { opened.result.close(); done(keys.result); };
  };
})"""
_PAGE = """<!doctype html><html lang="{language}"><head><title>Contact</title><link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; form-action {gateway};
script-src {gateway}; connect-src {gateway}; require-trusted-types-for 'script'"></head>
<body>{forms}
<script defer src="{gateway}/{script}" data-campaign></script></body></html>"""
_FORM = '<form method="post" action="{action}" {texts}>{fields}<button>Send</button></form>'
FIELDS = """<label>Name <input name="name"></label>
<label>Email <input name="your-email" type="email" required></label>
<label>Message <textarea name="message"></textarea></label>
<label><input name="news" type="checkbox"> News</label>
<input name="_gotcha" hidden tabindex="-1" autocomplete="off">"""


@dataclass(frozen=True)
class StaticSite:
    """A static website in a browser, and the gateway that its form posts to.

    `elsewhere` is an origin with the same pages that is none of the site's origins.
    """

    page: Page
    elsewhere: str
    gateway: ServiceProcess
    kafka: Kafka
    pages: dict[str, str]

    @property
    def german_action(self) -> str:
        """The address of the German site's form."""
        return f"{self.gateway.url}/inbound/forms/{GERMAN_KEY}"

    def add_page(self, path: str, *forms: str, texts: str = "") -> None:
        """Add a page of the German site with forms that have these fields."""
        markup = [_FORM.format(action=self.german_action, texts=texts, fields=each) for each in forms]
        script = f"inbound/forms/{GERMAN_KEY}/fastcore.js"
        self.pages[path] = _PAGE.format(
            gateway=self.gateway.url, language="de", forms="".join(markup), script=script
        )

    async def store(self, *messages: Mapping[str, Any]) -> list[float]:
        """Store messages in the browser, as the script does. Return the keys of all that wait there."""
        keys: list[float] = await self.page.evaluate(_STORE, list(messages))
        return keys

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


@asynccontextmanager
async def running_static_site(kafka: Kafka, tmp_path: Path) -> AsyncIterator[StaticSite]:
    """Run a gateway and serve an English page at `/` and `/contact`, and a German one at `/kontakt`."""
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
            action = f"{gateway.url}/inbound/forms/{FORM_KEY}"
            form = _FORM.format(action=action, texts='data-thanks="We have it."', fields=FIELDS)
            pages["/"] = pages["/contact"] = _PAGE.format(
                gateway=gateway.url, language="en", forms=form, script="inbound/static/fastcore.js"
            )
            async with running_browser() as browser:
                page = await browser.new_page(base_url=url)
                site = StaticSite(page, f"http://localhost:{port}", gateway, kafka, pages)
                site.add_page("/kontakt", FIELDS)
                yield site
