"""A lead of any form is stored, mailed to the team, listed and found."""

from typing import Any
from uuid import uuid4

from tests.support.services.installation import Installation
from tests.support.wait import eventually


async def mails_of(installation: Installation, lead_id: str) -> list[dict[str, Any]]:
    return [mail for mail in await installation.mails() if lead_id in mail["message_id"]]


async def test_lead_with_only_a_phone_is_stored_and_alerted(installation: Installation) -> None:
    answer = await installation.post({"phone": 442079460000, "best_time": f"after 5 pm {uuid4().hex}"})
    assert answer.status_code == 201, answer.text
    lead_id = answer.json()["leadId"]
    (alert,) = await eventually(
        lambda: mails_of(installation, lead_id), until=lambda mails: len(mails) > 0, what="the alert"
    )
    assert "admin_alert" in alert["message_id"]

    async def detail() -> dict[str, Any]:
        found: dict[str, Any] = (await installation.admin("GET", f"/admin/leads/{lead_id}")).json()
        return found

    def has_final_emails(found: dict[str, Any]) -> bool:
        states = {mail["kind"]: mail["state"] for mail in found.get("emails", [])}
        return found.get("lead") is not None and states == {"welcome": "suppressed", "admin_alert": "sent"}

    found = await eventually(detail, until=has_final_emails, what="the lead and its mails")
    lead = found["lead"]
    assert (lead["name"], lead["email"], lead["phone"]) == (None, None, "442079460000")
    assert (lead["service"], lead["message"], lead["status"]) == ("", "", "received")
    assert lead["extra"]["best_time"].startswith("after 5 pm")
    (welcome,) = [mail for mail in found["emails"] if mail["kind"] == "welcome"]
    assert (welcome["reason"], welcome["recipient"]) == ("no_address", None)

    erased = await installation.admin("DELETE", f"/admin/leads/{lead_id}")
    assert erased.status_code == 200, erased.text
    assert (await detail())["lead"]["status"] == "erased"
