"""Releasing a lead from spam, with the real flusher and notifier."""

import asyncio
from typing import Any

from tests.support.services.installation import Installation
from tests.support.wait import eventually

LEAD = {"name": "Ada", "email": "ada@example.com", "service": "SEO", "message": "Hello"}


async def test_releasing_from_spam_sends_both_emails_once(
    installation: Installation,
) -> None:
    posted = await installation.post(LEAD | {"meta": {"honeypot": "x"}})
    lead_id = posted.json()["leadId"]

    async def detail() -> Any:
        return (await installation.admin("GET", f"/admin/leads/{lead_id}")).json()

    def states(shown: Any) -> list[str]:
        return [mail["state"] for mail in shown.get("emails", [])] if shown.get("lead") else []

    await eventually(detail, until=lambda shown: states(shown) == ["suppressed"] * 2)
    # Two admins at once: one releases it, the other gets changed=false.
    path = f"/admin/leads/{lead_id}/status?new_status=received"
    answers = await asyncio.gather(*(installation.admin("PATCH", path) for _ in range(2)))
    assert sorted(answer.json()["changed"] for answer in answers) == [False, True]
    shown = await eventually(detail, until=lambda shown: states(shown) == ["sent"] * 2)
    assert len([mail for mail in await installation.mails() if lead_id in mail["message_id"]]) == 2
    assert {row["state"] for row in shown["queue"]} == {"resolved"}
    audit = [(entry["event"], entry["actor"]) for entry in shown["audit"]]
    assert audit.count(("lead.status_changed", "admin")) == 1
    # The flusher audits each replay once, with the admin as actor.
    assert audit.count(("lead.replayed", "admin")) == 2

    async def stats() -> Any:
        return (await installation.admin("GET", "/admin/queue/stats")).json()

    calm = await eventually(
        stats, until=lambda stats: stats["books"]["balanced"] and not any(g["lag"] for g in stats["groups"])
    )
    assert [spool["state"] for spool in calm["gateways"]] == ["up"]
    again = await installation.admin("POST", f"/admin/leads/{lead_id}/emails/welcome/resend")
    assert again.status_code == 409
    health = await installation.admin("GET", "/admin/health")
    assert (health.status_code, health.json()["mail"]["state"]) == (200, "up")
