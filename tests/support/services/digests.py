"""Digests of new leads in tests: the rows that they list, and the leads that the mails to the team name."""

import asyncio
import re
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

import pytest

from contracts.leads import LeadReceived
from services.notifier.digests.alert_digests import AlertDigests
from tests.support.mail.smtp import HANG, Received, SmtpServer

ADMIN_URL: Final = "https://leads.example/admin"
_LINK: Final = re.compile(r"/admin/leads/([0-9a-f-]{36})")


def digest_mails(smtp: SmtpServer) -> list[Received]:
    """Return the accepted digests."""
    return [each for each in smtp.mails if ".alert_digest@" in str(each.message["Message-ID"])]


def listed_leads(mail: Received) -> list[str]:
    """Return the leads that a digest lists, checking that its two parts list the same."""
    listed, in_html = (_LINK.findall(mail.text(kind)) for kind in ("plain", "html"))
    assert listed == in_html
    return listed


def reported_leads(smtp: SmtpServer) -> Counter[str]:
    """Return how often the mails to the team tell of each lead, alone or in a list."""
    counts = Counter[str]()
    for mail in smtp.mails:
        if ".admin_alert@" in str(mail.message["Message-ID"]):
            counts[str(mail.message["Message-ID"])[1:37]] += 1
    for mail in digest_mails(smtp):
        counts.update(listed_leads(mail))
    return counts


def once(leads: Collection[LeadReceived]) -> Counter[str]:
    return Counter(str(each.lead_id) for each in leads)


async def hurry(db: Any) -> None:
    """Make all digests due now, and those that wait for a repetition."""
    await db.execute("UPDATE collected_alert SET due_at = now() WHERE digest_id IS NULL")
    await db.execute("UPDATE alert_digest SET next_attempt_at = now() WHERE ended_at IS NULL")


async def alert_states(db: Any) -> dict[str, int]:
    """Return the numbers of alerts by state."""
    rows = await db.fetch(
        "SELECT state, count(*) AS alerts FROM email_delivery WHERE kind = 'admin_alert' GROUP BY state"
    )
    return {row["state"]: row["alerts"] for row in rows}


async def die_after_the_body(process: AlertDigests, smtp: SmtpServer) -> None:
    """Cancel a process while the mail server has the body of its email, and has not answered."""
    died = asyncio.Event()
    smtp.on_body = died.set
    smtp.then("body", HANG)
    sending = asyncio.create_task(process.send_due())
    await asyncio.wait_for(died.wait(), 20)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
