"""The example website before the whole installation, in a real browser: no lead is lost on its way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from deploy.embedded.servers.standalone import free_ports
from tests.faults.proxy import Proxy
from tests.support.browser import TIMEOUT_MS, Size, open_window, running_browser
from tests.support.installation import INGEST_TOKEN, Installation, running_installation
from tests.support.site import QUEUE_TOKEN, Site, build
from tests.support.stack import Stack
from tests.support.wait import eventually

# The proxy, the browser and the tests share one loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

THANKS = "Your message has arrived"


@dataclass(frozen=True)
class World:
    """A website, FASTCore, and the wire between them."""

    site: Site
    wire: Proxy
    fastcore: Installation
    browser: Browser

    @contextlib.asynccontextmanager
    async def visit(self, size: Size = "desktop", **options: Any) -> AsyncIterator[Page]:
        """Open the form as a visitor with an address of their own."""
        address = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
        async with open_window(
            self.browser, self.site.url, size, extra_http_headers={"X-Forwarded-For": address}, **options
        ) as visitor:
            await visitor.open("/contact")
            yield visitor.page

    async def lead(self, email: str) -> Any:
        found = await self.fastcore.fetch("SELECT * FROM lead_inbox WHERE email = $1", email)
        assert len(found) <= 1, "a lead is there more than once"
        return found[0] if found else None

    async def stored(self, email: str) -> Any:
        return await eventually(lambda: self.lead(email), seconds=60, what="the lead")

    async def mailed(self, lead_id: Any) -> list[str]:
        """Wait for both mails, and return to whom they went."""

        async def mails() -> list[str]:
            found = await self.fastcore.mails()
            return sorted(each["to"][0] for each in found if str(lead_id) in each["message_id"])

        return await eventually(mails, until=lambda found: len(found) == 2, seconds=60, what="both mails")

    async def flush(self) -> None:
        answer = await self.fastcore.admin("POST", "/admin/queue/flush")
        assert answer.status_code == 202, answer.text

    async def seen_queue(self) -> Any:
        """Return what the admin service says of the website's queue."""
        stats = (await self.fastcore.admin("GET", "/admin/queue/stats")).json()
        return next((each for each in stats["site_queues"] or [] if each["site"] == "default"), None)

    async def stop_fastcore(self) -> None:
        await self.wire.stop()
        await asyncio.gather(*(each.stop() for each in self.fastcore.services.values()))

    async def start_fastcore(self) -> None:
        await self.wire.heal()
        for each in self.fastcore.services.values():
            each.start()
        for each in self.fastcore.services.values():
            await each.ready(90)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    await asyncio.to_thread(build)
    wire = Proxy(target_port=0)
    folder = tmp_path_factory.mktemp("site")
    site = Site(
        free_ports(1)[0],
        folder,
        {"FASTCORE_URL": f"http://127.0.0.1:{wire.port}", "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN},
    )
    await wire.start()
    await site.start()  # the flusher is ready once it has seen the queue
    async with (
        running_browser() as browser,
        running_installation(
            stack,
            folder,
            FASTCORE_SITE_QUEUE_URL=site.queue_url,
            FASTCORE_SITE_QUEUE_TOKEN=QUEUE_TOKEN,
            FASTCORE_FLUSHER_GATEWAY_URL=f"http://127.0.0.1:{wire.port}",
        ) as fastcore,
    ):
        wire.target_port = httpx.URL(fastcore.url).port or 0
        yield World(site, wire, fastcore, browser)
        site.kill()
        await wire.stop()


def somebody() -> str:
    return f"grace-{uuid4().hex[:8]}@example.com"


async def fill(page: Page, email: str, **changes: str) -> None:
    fields = {"Your name": "Grace Hopper", "Email": email, "Your message": "Please call me.", **changes}
    for label, value in fields.items():
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_label("What is it about?").select_option("Website")
    await page.get_by_label("You may store what I wrote").check()


async def press_send(page: Page) -> None:
    await page.get_by_role("button", name="Send").click()


async def is_thanked(page: Page) -> None:
    await expect(page.get_by_text(THANKS)).to_be_visible(timeout=TIMEOUT_MS)


async def send(page: Page, email: str) -> tuple[datetime, datetime]:
    """Fill, send, be thanked; return between which moments."""
    await fill(page, email)
    await page.wait_for_timeout(2100)  # a person's time: whoever is quicker is a bot to the gateway
    before = datetime.now(UTC)
    await press_send(page)
    await is_thanked(page)
    return before, datetime.now(UTC)


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_a_visitors_message_is_with_the_admins_and_both_mails_are_out(world: World, size: Size) -> None:
    email = somebody()
    async with world.visit(size) as page:
        await page.goto(f"{world.site.url}/?utm_source=newsletter&utm_campaign=spring")
        await page.get_by_role("link", name="Tell us what you need").click()
        await page.wait_for_url("**/contact")
        before, after = await send(page, email)
    lead = await world.stored(email)
    assert (lead["name"], lead["service"], lead["status"]) == ("Grace Hopper", "Website", "received")
    assert lead["consent"] is True
    assert before <= lead["submitted_at"] <= after
    detail = (await world.fastcore.admin("GET", f"/admin/leads/{lead['id']}")).json()["lead"]
    assert detail["source"]["utm_source"] == "newsletter"
    assert detail["source"]["utm_campaign"] == "spring"
    assert detail["consent_version"] == "2026-01"
    assert await world.mailed(lead["id"]) == sorted([email, "admin@fastcore.example"])
    assert await world.site.depth() == 0


async def test_site_accepts_and_delivers_every_lead_across_outage_and_kill(
    world: World,
) -> None:
    first, second = somebody(), somebody()
    await world.stop_fastcore()
    async with world.visit() as page:
        sent_first = await send(page, first)
    assert await world.site.depth() == 1
    world.site.kill()
    await world.site.start()
    async with world.visit("phone") as page:
        sent_second = await send(page, second)
    queue = await world.site.queue()
    assert [entry["body"]["email"] for entry in queue["entries"]] == [first, second]
    assert "example.com" not in world.site.log  # nobody's address is in a log
    await world.start_fastcore()
    await world.flush()
    for email, (before, after) in ((first, sent_first), (second, sent_second)):
        lead = await world.stored(email)
        assert before <= lead["submitted_at"] <= after < lead["created_at_utc"]
        assert lead["status"] == "received"
        await world.mailed(lead["id"])
    await eventually(world.site.depth, until=lambda depth: depth == 0, what="an empty queue")
    # Once more: there is nothing left to come twice.
    await world.flush()
    seen = await eventually(world.seen_queue, until=lambda queue: queue and queue["depth"] == 0)
    assert seen["reason"] is None
    pulls = await world.fastcore.fetch("SELECT details_json FROM audit_log WHERE event = 'site_queue.pulled'")
    assert sum('"pulled": 2' in each["details_json"] for each in pulls) == 1


async def test_an_answer_lost_after_the_gateway_accepted_is_one_lead(world: World) -> None:
    email = somebody()
    async with world.visit() as page:
        world.wire.cut_after = email.encode()
        await send(page, email)
    assert world.wire.cuts == 2  # the site tried twice, and heard nothing
    lead = await world.stored(email)
    queue = await world.site.queue()
    assert [entry["body"]["email"] for entry in queue["entries"]] == [email]
    world.wire.cut_after = b""
    await world.flush()
    await eventually(world.site.depth, until=lambda depth: depth == 0, seconds=30, what="an empty queue")
    await world.mailed(lead["id"])
    assert await world.lead(email)
    parked = await world.fastcore.fetch("SELECT 1 FROM replay_queue WHERE lead_id = $1", lead["id"])
    assert parked == []  # the same body under the same key: a duplicate, not a conflict


async def test_the_form_works_without_javascript(world: World) -> None:
    email = somebody()
    async with world.visit("phone", java_script_enabled=False) as page:
        await page.goto(f"{world.site.url}/contact?utm_source=letter")
        await fill(page, "grace@localhost")  # the browser takes it for an address; we do not
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
        await page.goto(f"{world.site.url}/contact")
        assert await page.get_by_label("Your message").input_value() == ""
    lead = await world.stored(email)
    assert lead["status"] == "received"
    await world.mailed(lead["id"])


@pytest.mark.parametrize("scripted", [True, False])
async def test_a_double_click_is_one_lead(world: World, *, scripted: bool) -> None:
    email = somebody()
    async with world.visit(java_script_enabled=scripted) as page:
        await fill(page, email)
        await page.wait_for_timeout(2100)
        await page.get_by_role("button", name="Send").dblclick()
        await is_thanked(page)
    lead = await world.stored(email)
    await world.mailed(lead["id"])
    assert await world.lead(email)


async def test_what_is_wrong_is_said_beside_its_field(world: World) -> None:
    email = somebody()
    async with world.visit("phone") as page:
        await press_send(page)
        await expect(page.get_by_text("Please fill this in.")).to_have_count(4)
        await expect(page.get_by_label("Your name")).to_be_focused()
        # The site takes this for an address; the gateway, which knows more, does not.
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
    await world.stored(email)
    assert await world.site.depth() == 0


async def test_regression_a_page_that_stands_in_for_the_site_is_no_thanks(world: World) -> None:
    email = somebody()
    async with world.visit() as page:
        await page.route("**/api/contact", lambda route: route.fulfill(status=200, body="Back soon"))
        await fill(page, email)
        await page.wait_for_timeout(2100)
        await press_send(page)
        await expect(page.locator(".problem")).to_contain_text("have not kept it", timeout=TIMEOUT_MS)
        await page.unroute("**/api/contact")
        await press_send(page)
        await is_thanked(page)
    await world.stored(email)


async def test_regression_another_websites_form_leads_to_ours_and_sends_nothing(world: World) -> None:
    email = somebody()
    action = f"{world.site.url}/api/contact"
    async with world.visit() as page:
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
    assert (await world.stored(email))["status"] == "received"


async def test_a_bot_is_thanked_and_its_lead_kept_apart_also_when_it_waited(world: World) -> None:
    email, hasty = somebody(), somebody()
    async with world.visit(java_script_enabled=False) as page:
        await fill(page, email)
        await page.locator("[name=homepage_url]").fill("https://spam.example", force=True)
        await press_send(page)
        await is_thanked(page)
    lead = await world.stored(email)
    assert lead["status"] == "spam"
    assert "honeypot" in lead["spam_reasons"]
    # Filled in no time while FASTCore was away: judged by when it was sent, not by when it came.
    await world.wire.stop()
    async with httpx.AsyncClient() as client:
        shown = datetime.now(UTC).isoformat()
        answer = await client.post(
            f"{world.site.url}/api/contact",
            json={
                "name": "Bot", "email": hasty, "service": "x", "message": "y",
                "consent": True, "form_rendered_at": shown,
            },
            timeout=20,
        )  # fmt: skip
    assert answer.status_code == 202, answer.text
    await world.wire.heal()
    await asyncio.sleep(2.1)  # longer than a person needs at the least
    await world.flush()
    lead = await world.stored(hasty)
    assert lead["spam_reasons"] == ["filled_too_fast"]


async def test_of_fifty_posts_from_one_address_none_that_was_thanked_is_lost(world: World) -> None:
    service = uuid4().hex
    async with httpx.AsyncClient(headers={"X-Forwarded-For": "203.0.113.50"}, timeout=30) as client:
        answers = [
            await client.post(
                f"{world.site.url}/api/contact",
                json={
                    "name": "Bot", "email": somebody(), "service": service, "message": str(n), "consent": True
                },
            )
            for n in range(50)
        ]  # fmt: skip
        page = await client.get(f"{world.site.url}/contact")
    statuses = [answer.status_code for answer in answers]
    assert statuses == [201] * 20 + [429] * 30
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert page.status_code == 200

    async def stored() -> int:
        return len(await world.fastcore.fetch("SELECT 1 FROM lead_inbox WHERE service = $1", service))

    await eventually(stored, until=lambda count: count == 20, seconds=60)


@pytest.mark.parametrize("scripted", [True, False])
async def test_regression_lead_with_file_arrives_without_it_and_says_so(
    world: World, *, scripted: bool
) -> None:
    email = somebody()
    async with world.visit(java_script_enabled=scripted) as page:
        await fill(page, email)
        await page.evaluate(
            """() => {
                const form = document.querySelector('form');
                form.enctype = 'multipart/form-data';
                form.insertAdjacentHTML('beforeend', '<input type="file" name="plan" aria-label="Plan">');
            }"""
        )
        plan = {"name": "plan.pdf", "mimeType": "application/pdf", "buffer": b"%PDF" * 500_000}
        await page.get_by_label("Plan").set_input_files(plan)  # type: ignore[arg-type] # a TypedDict of its own
        await page.wait_for_timeout(2100)
        await press_send(page)
        await is_thanked(page)
        await expect(page.get_by_text("without its files")).to_be_visible()
    lead = await world.stored(email)
    detail = (await world.fastcore.admin("GET", f"/admin/leads/{lead['id']}")).json()["lead"]
    assert detail["extra"] == {"plan": "plan.pdf", "files_not_stored": "plan.pdf"}


async def test_a_site_that_cannot_write_to_its_queue_logs_it_when_it_starts(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "queue").write_text("a file stands where the folder should be")
    site = Site(free_ports(1)[0], tmp_path, world.site.environment)
    await site.start()

    async def logged() -> bool:
        return "cannot be written" in site.log

    try:
        await eventually(logged, what="the log line")
    finally:
        site.kill()


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_is_accessible_and_fits(world: World, size: Size, theme: Any) -> None:
    async with open_window(world.browser, world.site.url, size, theme) as visitor:
        for path in ("/", "/contact", "/contact/thanks"):
            await visitor.open(path)
            await visitor.check()
        await visitor.open("/contact")
        await press_send(visitor.page)
        await expect(visitor.page.get_by_text("Please fill this in.").first).to_be_visible()
        await visitor.check()
