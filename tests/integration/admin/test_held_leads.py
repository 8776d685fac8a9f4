"""Leads beyond a limit: held by the gateway's limit, and released together."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.admin.store.leads import held
from tests.support.services.admin import Admin
from tests.support.services.installation import Installation
from tests.support.wait import eventually

LEAD = {"name": "Ada", "email": "shared@office.example", "service": "SEO", "message": "Hello"}


async def decide(admin: Admin, status: int = 200, **body: Any) -> Any:
    answer = await admin.client.post("/admin/held/decide", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def statuses(admin: Admin) -> dict[str, int]:
    rows = await admin.db.fetch(
        "SELECT site || ' ' || status AS word, count(*) AS n FROM lead_inbox GROUP BY 1"
    )
    return {row["word"]: row["n"] for row in rows}


async def test_all_held_leads_of_a_site_are_released_in_one_action(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "CHUNK", 2)
    for _ in range(5):
        await admin.add_lead("held", site="studio", spam_reasons=("rate_ip",))
    await admin.add_lead("held", site="shop", spam_reasons=("rate_email",))
    await admin.add_lead("spam", site="studio")
    sites = await admin.get("/admin/held")
    assert [(each["site"], each["leads"], each["reason"]) for each in sites] == [
        ("shop", 1, "rate_email"),
        ("studio", 5, "rate_ip"),
    ]
    later = await admin.add_lead("held", site="studio", occurred_at=datetime.now(UTC) + timedelta(seconds=5))
    body = {"site": "studio", "new_status": "received", "until": sites[1]["newest_at"]}
    assert await decide(admin, **body) == {"site": "studio", "changed": 5, "left": 0}
    assert await statuses(admin) == {"studio received": 5, "studio held": 1, "shop held": 1, "studio spam": 1}
    queued = await admin.db.fetch("SELECT kind, state, requested_by, lead_id FROM replay_queue")
    assert {(row["kind"], row["state"], row["requested_by"]) for row in queued} == {
        ("welcome", "waiting", "ann")
    }
    assert len({row["lead_id"] for row in queued} - {later.lead_id}) == 5
    entries = await admin.db.fetch(
        "SELECT actor, details_json FROM audit_log WHERE event = 'lead.status_changed'"
    )
    assert len(entries) == 5
    assert '"mails_requested": ["welcome"]' in entries[0]["details_json"]
    assert (await decide(admin, **body))["changed"] == 0


async def test_all_held_leads_of_a_site_can_be_spam(admin: Admin) -> None:
    await admin.add_lead("held", site="studio")
    at = datetime.now(UTC).isoformat()
    await decide(admin, 422, site="studio", new_status="won", until=at)
    assert (await decide(admin, site="studio", new_status="spam", until=at))["changed"] == 1
    assert await statuses(admin) == {"studio spam": 1}
    assert await admin.db.fetchval("SELECT count(*) FROM replay_queue") == 0


async def test_regression_a_flood_at_one_site_hides_no_other_site(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MAX_LEADS", 2)
    old = datetime.now(UTC) - timedelta(hours=1)
    await admin.add_lead("held", site="zoo", occurred_at=old)
    for _ in range(5):
        await admin.add_lead("held", site="flood")
    sites = await admin.get("/admin/held")
    assert [(each["site"], each["leads"]) for each in sites] == [("flood", 2), ("zoo", 1)]


async def test_two_admins_at_once_release_each_lead_once(admin: Admin) -> None:
    for _ in range(30):
        await admin.add_lead("held", site="studio")
    body: dict[str, Any] = {
        "site": "studio",
        "new_status": "received",
        "until": datetime.now(UTC).isoformat(),
    }
    answers = await asyncio.gather(*(decide(admin, **body) for _ in range(3)))
    assert sum(answer["changed"] for answer in answers) == 30
    assert await admin.db.fetchval("SELECT count(*) FROM replay_queue") == 30


async def test_a_lead_beyond_the_limit_is_held_until_it_is_released(
    installation: Installation,
) -> None:
    posted = [await installation.post(LEAD | {"message": f"Hello {number}"}) for number in range(11)]
    lead_id = posted[-1].json()["leadId"]

    async def detail() -> Any:
        return (await installation.admin("GET", f"/admin/leads/{lead_id}")).json()

    def states(shown: Any) -> dict[str, str]:
        return {mail["kind"]: mail["state"] for mail in shown.get("emails", [])} if shown.get("lead") else {}

    suppressed = {"welcome": "suppressed", "admin_alert": "suppressed"}
    shown = await eventually(detail, until=lambda shown: states(shown) == suppressed)
    assert (shown["lead"]["status"], shown["lead"]["spam_reasons"]) == ("held", ["rate_email"])
    assert shown["timeline"]
    sites = (await installation.admin("GET", "/admin/held")).json()
    assert [(each["site"], each["leads"]) for each in sites] == [("default", 1)]
    path = f"/admin/leads/{lead_id}/status?new_status=received"
    assert (await installation.admin("PATCH", path)).json()["mails_requested"] == ["welcome"]

    async def requested() -> Any:
        return [item["reason"] for item in (await detail())["queue"]]

    await eventually(requested, until=lambda reasons: reasons == ["released from hold"])
