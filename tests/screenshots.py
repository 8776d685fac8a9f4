"""Takes the screenshots of the README and of docs, with sample data (`make screenshots`)."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
from aiohttp import web
from playwright.async_api import expect

from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.connected import running_connected
from tests.support.services.deliveries import new_destination
from tests.support.services.installation import ADMIN_TOKEN, Installation, running_installation
from tests.support.stack import Stack, running_stack
from tests.support.wait import eventually
from tests.support.web.browser import Size, Theme, open_window, running_browser
from tests.support.web.http_server import serve
from tests.support.web.webhook_receiver import webhook_receiver

FOLDER: Final = Path(__file__).parents[1] / "docs" / "screenshots"
# First the backfill, while it runs.
SCREENSHOTS: Final[tuple[tuple[str, str, Size, Theme], ...]] = (
    ("backfill", "/admin/ui/bulk/{backfill}", "desktop", "light"),
    ("overview", "/admin", "desktop", "light"),
    ("failed-deliveries", "/admin/ui/workbench", "desktop", "dark"),
    ("lead-phone", "/admin/ui/leads/{lead}", "phone", "light"),
    ("leads-phone", "/admin/ui/leads", "phone", "dark"),
)
# The page of destinations, scrolled to an element.
DESTINATION_SCREENSHOTS: Final[tuple[tuple[str, Size, Theme, str], ...]] = (
    ("destinations", "desktop", "light", "main"),
    ("destination-test-phone", "phone", "dark", "#destination-crm"),
)
CANARY_SCREENSHOTS: Final[tuple[tuple[str, Size, Theme], ...]] = (
    ("canary", "desktop", "light"),
    ("canary-phone", "phone", "dark"),
)
CANARY_SITES: Final = """
[sites.studio]
name = "Studio Nord"
form_key = "studio-4k7w9q2m"
origins = ["https://studio.example"]
[[destinations]]
name = "crm"
kind = "slack"
url = "{url}/lead"
canary_url = "{url}/canary"
allow_private = true
"""
FIRST: Final = (
    "Ada",
    "Grace",
    "Katherine",
    "Radia",
    "Barbara",
    "Annie",
    "Hedy",
    "Edsger",
    "Donald",
    "Niklaus",
)
LAST: Final = ("Lovelace", "Hopper", "Johnson", "Perlman", "Liskov", "Easley", "Lamarr", "Dijkstra", "Knuth")
COMPANIES: Final = ("Northwind", "Blue Harbour", "Fable & Sons", "Orchard Dental", "Tallis Architects", "")
SERVICES: Final = ("Web design", "Hosting", "Online shop", "SEO", "Maintenance")
CAMPAIGNS: Final = ("spring offer", "relaunch", "")
PAGES: Final = ("", "prices", "web-design", "contact")
ASSIGNEES: Final = ("Ann", "Ben", "")
STATUSES: Final = ("received", "processing", "contacted", "won", "lost")
MESSAGE: Final = (
    "Hello,\n\nour site is eleven years old and looks it. Could you call me after two?\n\nThank you!"
)
LEADS: Final = 150


@dataclass(frozen=True)
class SampleInstallation:
    """An installation with sample data. `lead`, `replay` and `backfill` are the ids of the ones to show."""

    installation: Installation
    smtp: SmtpServer
    lead: str
    replay: str
    backfill: str


async def post_lead(installation: Installation, rng: random.Random, number: int, email: str = "") -> str:
    """Post a lead with random fields, and return its id."""
    first, last = rng.choice(FIRST), rng.choice(LAST)
    body = {
        "name": f"{first} {last}",
        "email": email or f"{first}.{last}.{number}@example.com".lower(),
        "service": rng.choices(SERVICES, (9, 6, 4, 2, 1))[0],
        "company": rng.choice(COMPANIES),
        "phone": "+44 20 7946 0958",
        "message": MESSAGE,
        "consent": True,
        "source": {
            "utm_source": rng.choice(("google", "newsletter", "friends")),
            "utm_medium": "cpc",
            "utm_campaign": rng.choice(CAMPAIGNS),
            "first_utm_source": rng.choice(("google", "linkedin", "fair")),
            "landing_page": f"https://www.example.com/{rng.choice(PAGES)}",
        },
    }
    response = await installation.post(body)
    assert response.status_code == 201, response.text
    return str(response.json()["leadId"])


async def spread_over_two_months(installation: Installation, rng: random.Random, leads: list[str]) -> None:
    """Give the leads random times within the last 60 days, random statuses, assignees and answers."""
    connection = await asyncpg.connect(installation.database.owner)
    try:
        await connection.executemany(
            "UPDATE lead_inbox SET created_at_utc = created_at_utc - make_interval(mins => $2), status = $3,"
            " assignee = nullif($4, ''), updated_at = now() WHERE id = $1",
            [
                (
                    each,
                    int(60 * 24 * 60 * rng.random() ** 2),
                    rng.choices(STATUSES, (1, 2, 3, 2, 1))[0],
                    rng.choice(ASSIGNEES),
                )
                for each in leads
            ],
        )
        await connection.execute(
            "UPDATE lead_response"
            " SET responded_at = least(now(), received_at + random() ^ 3 * interval '1 day'),"
            " decided_at = CASE WHEN outcome IS NOT NULL"
            " THEN least(now(), received_at + random() * interval '5 days') END"
        )
        await connection.execute("SELECT refresh_lead_summary()")
    finally:
        await connection.close()


async def wait_for_emails(installation: Installation, emails: int) -> None:
    """Wait until so many emails are sent or have failed."""

    async def count_finished() -> int:
        (row,) = await installation.fetch(
            "SELECT count(*) FROM email_delivery WHERE state NOT IN ('reserved', 'sending')"
        )
        return int(row["count"])

    await eventually(count_finished, until=lambda count: count >= emails, seconds=120, what="all emails")


async def fail_emails(smtp: SmtpServer, installation: Installation, rng: random.Random) -> str:
    """Make emails fail for three reasons, replay one group, and return the replay's id."""
    smtp_responses = (
        ("550 5.1.1 no such user",) * 6 + ("552 5.2.2 mailbox full",) * 3 + ("451 4.7.1 greylisted",) * 4
    )
    # Mixed: after equal replies in a row the notifier blames the sender and pauses.
    for number, smtp_response in enumerate(rng.sample(smtp_responses, len(smtp_responses))):
        email = f"customer.{number}@example.com"
        smtp.always[f"rcpt:{email}"] = smtp_response
        await post_lead(installation, rng, 900, email)

    async def count_queue_rows() -> int:
        (row,) = await installation.fetch("SELECT count(*) FROM replay_queue")
        return int(row["count"])

    await eventually(
        count_queue_rows, until=lambda count: count >= len(smtp_responses), seconds=60, what="the queue rows"
    )
    order: dict[str, Any] = {
        "state": "dead",
        "comment": "Mailboxes were emptied",
        "reason": "smtp 552 5.2.2 at rcpt",
    }
    started = await installation.admin("POST", "/admin/queue/replay", json=order)
    assert started.status_code == 202, started.text
    return str(started.json()["replay"]["id"])


async def start_backfill(installation: Installation) -> str:
    """Send all leads to the destination crm, wait until a part is sent, and return the action's id."""
    order: dict[str, Any] = {"action": "send", "destination": "crm", "filter": {}, "per_second": 5}
    started = await installation.admin("POST", "/admin/bulk", json=order)
    assert started.status_code == 202, started.text
    backfill = str(started.json()["bulk"]["id"])

    async def read_done() -> int:
        return int((await installation.admin("GET", f"/admin/bulk/{backfill}")).json()["bulk"]["done"])

    await eventually(read_done, until=lambda done: done >= LEADS // 3, seconds=60, what="a part of the leads")
    return backfill


@asynccontextmanager
async def running_sample_installation(stack: Stack, folder: Path) -> AsyncIterator[SampleInstallation]:
    """Start an installation and fill it with sample data."""
    rng = random.Random(7)
    async with (
        smtp_server() as smtp,
        running_installation(stack, folder, SMTP_PORT=str(smtp.port)) as installation,
        webhook_receiver() as receiver,
    ):
        leads = [await post_lead(installation, rng, number) for number in range(LEADS)]
        await wait_for_emails(installation, 2 * LEADS)
        await spread_over_two_months(installation, rng, leads)
        replay = await fail_emails(smtp, installation, rng)
        lead = await post_lead(installation, rng, LEADS)
        await wait_for_emails(installation, 2 * LEADS + 2)
        for status in ("processing", "contacted"):
            await installation.admin("PATCH", f"/admin/leads/{lead}/status?new_status={status}")
        async with new_destination(installation, "crm", receiver.url, folder):
            backfill = await start_backfill(installation)
            yield SampleInstallation(installation, smtp, lead, replay, backfill)


async def take_screenshots(stack: Stack, folder: Path) -> None:
    """Save each screenshot."""
    FOLDER.mkdir(exist_ok=True)
    async with running_sample_installation(stack, folder) as sample, running_browser() as browser:
        url = sample.installation.url
        for name, path, size, theme in SCREENSHOTS:
            async with open_window(browser, url, size, theme) as visitor:
                await visitor.sign_in(ADMIN_TOKEN)
                await visitor.open(path.format(lead=sample.lead, backfill=sample.backfill))
                await visitor.page.screenshot(path=FOLDER / f"{name}.png")


async def take_destination_screenshots(stack: Stack, folder: Path) -> None:
    """Save the screenshots of destinations: one of them fails, and another one gets a test event."""
    rng = random.Random(7)
    async with running_connected(stack, folder) as connected, running_browser() as browser:
        installation = connected.installation
        for number in range(24):
            await post_lead(installation, rng, number)

        async def states() -> list[str]:
            found = (await installation.admin("GET", "/admin/destinations")).json()["destinations"]
            return [each["state"] for each in found if not each["waiting"] or each["name"] == "helpdesk"]

        wanted = ["healthy", "healthy", "paused", "healthy", "healthy"]
        await eventually(states, until=lambda now: now == wanted, seconds=120, what="the pause")
        await installation.admin("POST", "/admin/destinations/crm/test")
        for name, size, theme, place in DESTINATION_SCREENSHOTS:
            async with open_window(browser, installation.url, size, theme) as visitor:
                await visitor.sign_in(ADMIN_TOKEN)
                await visitor.open("/admin/ui/destinations")
                await expect(visitor.page.locator("#destination-crm .last-test")).to_contain_text("Delivered")
                await visitor.page.locator("#destination-crm summary").click()
                await visitor.page.locator(place).evaluate("(element) => element.scrollIntoView()")
                await visitor.page.screenshot(path=FOLDER / f"{name}.png")


async def run_canary(installation: Installation) -> None:
    """Let the flusher send a canary, and wait until each hop has written what it did."""
    (before,) = await installation.fetch("SELECT count(*) FROM canary")
    await installation.fetch("UPDATE scheduled_job SET requested_at = now() WHERE name = 'canary'")

    async def is_through() -> bool:
        (now,) = await installation.fetch("SELECT count(*) FROM canary")
        status = (await installation.admin("GET", "/admin/canary/status")).json()
        hops = [hop for route in status["routes"] for hop in route["hops"]]
        has_all = any(hop["hop"] == "destination:crm" for hop in hops)
        return now["count"] > before["count"] and has_all and all(hop["state"] != "waiting" for hop in hops)

    await eventually(is_through, seconds=60, what="the canary")


async def take_canary_screenshots(stack: Stack, folder: Path) -> None:
    """Save the screenshots of the canary's page: the mail server refuses the last two test leads."""

    async def accept(_: web.Request) -> web.Response:
        return web.Response()

    async with smtp_server() as smtp, serve(accept) as url, running_browser() as browser:
        variables = {
            "FASTCORE_CANARY_SECRET": "a secret of the screenshots, 32 bytes",
            "FASTCORE_CANARY_CRON": "0 0 29 2 *",
            "FASTCORE_CANARY_GATEWAY_URL": "http://127.0.0.1:9",
        }
        sites = CANARY_SITES.format(url=url)
        async with running_installation(
            stack, folder, sites=sites, SMTP_PORT=str(smtp.port), **variables
        ) as installation:
            flusher = installation.services["flusher"]
            await flusher.stop()
            # Without the token of the site default, only the form of the studio is tested.
            flusher.environment |= {
                "FASTCORE_CANARY_GATEWAY_URL": installation.url,
                "FASTCORE_SITE_INGEST_TOKEN": "",
            }
            flusher.start()
            await flusher.ready(60)
            for reply in ("", "550 5.7.1 sender refused", "550 5.7.1 sender refused"):
                if reply:
                    smtp.always["rcpt"] = reply
                await run_canary(installation)
            for name, size, theme in CANARY_SCREENSHOTS:
                async with open_window(browser, installation.url, size, theme) as visitor:
                    await visitor.sign_in(ADMIN_TOKEN)
                    await visitor.open("/admin/canary")
                    await expect(visitor.page.get_by_text("2 times in a row")).to_be_visible()
                    await visitor.page.screenshot(path=FOLDER / f"{name}.png")


def main() -> None:
    """Start Kafka and PostgreSQL, and take all screenshots."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        for number, take in enumerate(
            (take_screenshots, take_destination_screenshots, take_canary_screenshots)
        ):
            place = Path(folder, str(number))
            place.mkdir()
            asyncio.run(take(stack, place))


if __name__ == "__main__":
    main()
