"""A form builder's lead with a mistyped address, through the whole installation, until it is stored."""

from typing import Any

from tests.support.services.installation import HOOK_KEY, Installation
from tests.support.wait import eventually

BODY = {"name": "Siobhán Ní Bhriain", "email": "siobhan(at)example.org", "message": "Please call."}


async def test_invalid_lead_of_a_builder_is_corrected_and_stored(installation: Installation) -> None:
    async with installation.client() as client:
        answers = [await client.post(f"/inbound/hooks/{HOOK_KEY}", json=BODY) for _ in range(2)]
    assert [(each.status_code, each.json()["status"]) for each in answers] == [(200, "needs-correction")] * 2
    (lead_id,) = {each.json()["leadId"] for each in answers}

    async def items() -> list[dict[str, Any]]:
        page = await installation.admin("GET", "/admin/queue/items", params={"stage": "site"})
        return [each for each in page.json()["items"] if each["lead_id"] == lead_id]

    (item,) = await eventually(items, until=bool, seconds=20, what="the failed delivery")
    assert (item["lead_name"], item["reason"]) == (BODY["name"], "gateway 422: email")

    edited = await installation.admin(
        "PATCH", f"/admin/leads/{lead_id}", json={"email": "siobhan@example.org"}
    )
    assert edited.status_code == 200, edited.text
    order = {"ids": [item["id"]], "comment": "corrected"}
    replay = await installation.admin("POST", "/admin/queue/replay", json=order)
    assert replay.status_code == 202, replay.text

    async def stored() -> Any:
        return (await installation.admin("GET", f"/admin/leads/{lead_id}")).json().get("lead")

    lead = await eventually(stored, until=bool, seconds=40, what="the stored lead")
    assert (lead["name"], lead["email"], lead["site"]) == (BODY["name"], "siobhan@example.org", "studio")

    async def mails() -> list[dict[str, Any]]:
        return [mail for mail in await installation.mails() if lead_id in mail["message_id"]]

    await eventually(mails, until=lambda found: len(found) == 2, what="both emails")
    states = await installation.fetch("SELECT state FROM replay_queue WHERE lead_id = $1", lead_id)
    assert [each["state"] for each in states] == ["resolved"]
