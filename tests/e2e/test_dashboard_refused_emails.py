"""A real mail server that refuses every email: the overview is red within a minute, and green once healed."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.installation import ADMIN_TOKEN, SITES, Installation, running_installation
from tests.support.stack import Stack
from tests.support.wait import eventually
from tests.support.web.browser import Visitor, open_window, running_browser

pytestmark = pytest.mark.asyncio(loop_scope="session")
LEADS = 80
RED_WITHIN_SECONDS = 60
GREEN_WITHIN_MS = 60_000


@dataclass(frozen=True)
class Refused:
    """An installation with its mail server, and a window that shows its overview."""

    installation: Installation
    smtp: SmtpServer
    visitor: Visitor

    @property
    def page(self) -> Page:
        return self.visitor.page

    async def open_overview(self) -> None:
        await self.visitor.open("/admin")
        await self.shows("good", "All systems operational")

    async def shows(self, style: str, *texts: str) -> None:
        """Wait until the headline has this style and these texts."""
        strip = self.page.locator(f"#panel-parts .strip.{style}")
        for text in texts:
            await expect(strip).to_contain_text(text, timeout=GREEN_WITHIN_MS)

    async def states(self) -> dict[str, int]:
        rows = await self.installation.fetch("SELECT state, count(*) AS n FROM email_delivery GROUP BY state")
        return {row["state"]: row["n"] for row in rows}

    async def add_leads(self, count: int = LEADS) -> float:
        """Publish leads as the gateway does. Return the time before it, in monotonic seconds."""
        began = time.monotonic()
        await post(self.installation.kafka, *(lead(site="studio") for _ in range(count)))
        return began

    async def replay(self) -> None:
        """Retry the emails that failed permanently, and wait until no email is left to send."""
        order: dict[str, Any] = {"stage": "notifier", "state": "dead", "per_second": 100}
        answer = await self.installation.admin("POST", "/admin/queue/replay", json=order)
        assert answer.status_code == 202, answer.text
        await eventually(self.states, until=lambda now: set(now) == {"sent"}, seconds=60, what="all sent")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def refused(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Refused]:
    folder = tmp_path_factory.mktemp("refused")
    async with (
        smtp_server() as smtp,
        running_installation(
            stack, folder, sites=SITES, SMTP_PORT=str(smtp.port), FASTCORE_NOTIFIER_ALERT_BURST="0"
        ) as installation,
        running_browser() as browser,
        open_window(browser, installation.url) as visitor,
    ):
        await visitor.sign_in(ADMIN_TOKEN)
        yield Refused(installation, smtp, visitor)


async def test_160_refused_emails_are_named_within_a_minute_until_healed(refused: Refused) -> None:
    await refused.open_overview()
    # A mail server with a wrong list of recipients: the notifier cannot tell it from mistyped addresses.
    refused.smtp.always["rcpt"] = "550 5.1.1 Recipient address rejected: User unknown"
    began = await refused.add_leads()
    sentence = "160 of 160 emails were refused in the last hour: 550 5.1.1 Recipient address rejected"
    await refused.shows("bad", sentence, "The team's notifications are among them.")
    took = time.monotonic() - began
    assert took < RED_WITHIN_SECONDS, took
    first = refused.page.locator("#panel-parts .reasons li").first
    await expect(first).to_contain_text(sentence)
    assert await refused.states() == {"dead": 160}
    await first.get_by_role("link").click()
    panel = refused.page.locator("#panel-emails")
    await expect(panel).to_contain_text("What the mail servers say", timeout=GREEN_WITHIN_MS)
    await expect(panel).to_be_in_viewport()
    health = (await refused.installation.admin("GET", "/admin/health")).json()
    assert health["mail"]["state"] == "down"
    assert "160 of 160 emails of the last hour failed: 550 5.1.1" in health["mail"]["reason"]
    assert "160 of 160" in health["services"]["notifier"]["parts"]["emails"]["reason"]
    assert health["services"]["notifier"]["state"] == "up"
    await refused.visitor.check()

    refused.smtp.always.clear()
    await refused.add_leads(5)
    # The emails arrive again, and the 80 notifications that nobody received are still to be sent.
    await refused.shows("amber", "nobody received 80 team notifications of the last hour: send them again")
    await expect(refused.page.locator("#panel-parts")).not_to_contain_text("were refused")
    await refused.replay()
    await refused.shows("good", "All systems operational")


async def test_a_server_that_refuses_our_sender_is_named_and_no_email_is_lost(refused: Refused) -> None:
    await refused.open_overview()
    refused.smtp.always["rcpt"] = "550 5.7.1 sender not allowed"
    began = await refused.add_leads()
    await refused.shows(
        "bad",
        "the mail server accepts no email: 550 5.7.1 sender not allowed",
        "80 leads wait for their emails, the team's notifications among them",
    )
    took = time.monotonic() - began
    assert took < RED_WITHIN_SECONDS, took
    await expect(refused.page.locator("#panel-parts .reasons li").first).to_contain_text("accepts no email")
    states = await refused.states()
    assert states.get("dead", 0) <= 3

    refused.smtp.always.clear()
    await refused.shows("good" if not states.get("dead") else "amber", "")
    await refused.replay()
    await refused.shows("good", "All systems operational")
