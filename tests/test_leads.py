"""The main scenario: a lead is posted, stored and mailed."""

from uuid import UUID, uuid4

from tests.support.services.installation import Installation
from tests.support.wait import eventually


async def test_ingest_lead_success(installation: Installation) -> None:
    email = f"ada-{uuid4().hex[:8]}@example.com"
    answer = await installation.post(
        {"name": "Ada Lovelace", "email": email, "service": "Web design", "message": "Please call me."}
    )

    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"leadId", "timestamp", "status"}
    assert answer.json()["status"] == "received"
    lead_id = UUID(answer.json()["leadId"])
    at = answer.json()["timestamp"]

    async def lead() -> int:
        return (await installation.admin("GET", f"/admin/leads/{lead_id}")).status_code

    await eventually(lead, until=lambda status: status == 200, seconds=5, what="the lead at the admin")
    (row,) = await installation.fetch("SELECT * FROM lead_inbox WHERE id = $1", lead_id)
    assert (row["email"], row["status"]) == (email, "received")
    assert row["created_at_utc"].strftime("%Y-%m-%dT%H:%M:%S.%fZ") == at

    async def mails() -> set[str]:
        return {
            mail["message_id"] for mail in await installation.mails() if str(lead_id) in mail["message_id"]
        }

    found = await eventually(mails, until=lambda ids: len(ids) == 2, seconds=10, what="both mails")
    assert {name.strip("<>").split("@")[0].split(".")[1] for name in found} == {"welcome", "admin_alert"}

    async def trail() -> list[str]:
        rows = await installation.fetch("SELECT event FROM audit_log WHERE lead_id = $1 ORDER BY id", lead_id)
        return sorted(each["event"] for each in rows)

    wanted = ["email.sent", "email.sent", "lead.received"]
    assert await eventually(trail, until=lambda events: events == wanted, what="the audit trail") == wanted
