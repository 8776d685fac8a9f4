"""Failed deliveries to destinations on a real PostgreSQL: groups, leads, and a retry of a group."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from runtime.settings import Kafka, Postgres, SitesFile
from services.admin.rules.send_rules import NOT_RELEASED
from services.admin.store.deliveries import failed_deliveries
from tests.support.services.admin import Admin, running_admin
from tests.support.services.deliveries import add_delivery, finish_bulk, preview_bulk, run_bulk, start_bulk
from tests.support.services.webhooks import destination, write_sites
from tests.support.stack import Stack
from tests.support.wait import eventually

SILENT = "destination does not answer"
PATH = "/admin/deliveries"


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    """Run the admin service with the destinations crm and shop in its sites file."""
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    path = write_sites(tmp_path, *(destination(name, "https://x.example/hook") for name in ("crm", "shop")))
    async with running_admin(postgres, kafka, sites_file=SitesFile(path=path)) as running:
        yield running


async def test_deliveries_are_grouped_by_destination_event_reason_and_state(admin: Admin) -> None:
    assert (await admin.get(f"{PATH}/groups"))["groups"] == []
    for _ in range(3):
        await add_delivery(admin.db, "crm", "dead", next_attempt_at=None)
    await add_delivery(admin.db, "crm", "failed")
    await add_delivery(admin.db, "crm", "dead", event="lead.updated", next_attempt_at=None)
    await add_delivery(admin.db, "crm", "dead", reason=SILENT, next_attempt_at=None)
    await add_delivery(admin.db, "shop", "dead", next_attempt_at=None)
    for state in ("pending", "delivered", "suppressed"):
        await add_delivery(admin.db, "crm", state)
    found = (await admin.get(f"{PATH}/groups"))["groups"]
    keys = ("destination", "event", "reason", "state", "deliveries")
    assert [tuple(group[key] for key in keys) for group in found] == [
        ("crm", "lead.received", "destination answered 500", "dead", 3),
        ("crm", "lead.received", "destination answered 500", "failed", 1),
        ("crm", "lead.received", SILENT, "dead", 1),
        ("crm", "lead.updated", "destination answered 500", "dead", 1),
        ("shop", "lead.received", "destination answered 500", "dead", 1),
    ]
    assert all(group["oldest_at"] <= group["newest_at"] for group in found)
    of_shop = (await admin.get(f"{PATH}/groups", destination="shop"))["groups"]
    assert [group["destination"] for group in of_shop] == ["shop"]


async def test_the_deliveries_of_a_group_have_the_names_of_their_leads(admin: Admin) -> None:
    lead = await admin.add_lead(name="Ada")
    await add_delivery(admin.db, "crm", "dead", lead.lead_id, status_code=500, attempts=10)
    for _ in range(4):
        await add_delivery(admin.db, "crm", "failed", reason=SILENT)
    (row,) = (await admin.get(PATH, destination="crm", reason="destination answered 500"))["deliveries"]
    assert (row["lead_name"], row["lead_id"], row["status_code"]) == ("Ada", str(lead.lead_id), 500)
    assert (row["event"], row["state"], row["attempts"]) == ("lead.received", "dead", 10)
    seen, cursor = [], ""
    for _ in range(3):
        params = {"destination": "crm", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await admin.get(PATH, **params)
        seen += [each["event_id"] for each in page["deliveries"]]
        cursor = page["next_cursor"]
    assert len(set(seen)) == len(seen) == 5
    assert cursor is None
    assert (await admin.get(PATH, destination="shop"))["deliveries"] == []
    await admin.get(PATH, 422)


async def test_a_group_is_previewed_and_retried_with_all_retries(admin: Admin) -> None:
    dead = [await admin.add_lead() for _ in range(4)]
    for lead in dead:
        await add_delivery(admin.db, "crm", "dead", lead.lead_id, retries=9, next_attempt_at=None)
    other = await add_delivery(admin.db, "crm", "dead", reason=SILENT, next_attempt_at=None)
    await add_delivery(admin.db, "shop", "dead", dead[0].lead_id, next_attempt_at=None)
    group = {"event": "lead.received", "reason": "destination answered 500", "state": "dead"}
    order = {"action": "retry", "destination": "crm", "deliveries": group}
    assert (await preview_bulk(admin.client, **order))["leads"] == 4
    detail = await run_bulk(admin, **order)
    assert detail["results"] == {"changed": 4}
    rows = await admin.db.fetch(
        "SELECT destination, state, retries, count(*) FROM webhook_delivery GROUP BY 1, 2, 3 ORDER BY 1, 2"
    )
    assert [tuple(row) for row in rows] == [
        ("crm", "dead", 0, 1), ("crm", "pending", 0, 4), ("shop", "dead", 0, 1)
    ]  # fmt: skip
    left = await admin.db.fetchval("SELECT event_id FROM webhook_delivery WHERE state = 'dead' LIMIT 1")
    assert left == other
    entries = await admin.db.fetch("SELECT * FROM audit_log WHERE event = 'delivery.requested'")
    assert {row["lead_id"] for row in entries} == {lead.lead_id for lead in dead}
    details = {"bulk_id": detail["bulk"]["id"], "action": "retry", "destination": "crm"}
    assert [json.loads(row["details_json"]) for row in entries] == [details] * 4
    timeline = (await admin.get(f"/admin/leads/{dead[0].lead_id}"))["timeline"]
    assert "ann retried the failed deliveries to crm." in [each["title"] for each in timeline]
    await start_bulk(admin.client, 409, **order)


async def test_all_failed_deliveries_of_a_lead_are_retried_together(admin: Admin) -> None:
    lead_id = uuid4()  # of a lead that is erased or of a test event: it is not stored
    await add_delivery(admin.db, "crm", "dead", lead_id, next_attempt_at=None)
    await add_delivery(admin.db, "crm", "failed", lead_id, "lead.erased", reason=SILENT)
    detail = await run_bulk(admin, action="retry", destination="crm", ids=[str(lead_id)])
    assert detail["results"] == {"changed": 1}
    states = await admin.db.fetch("SELECT DISTINCT state FROM webhook_delivery")
    assert [row["state"] for row in states] == ["pending"]


async def test_deliveries_that_failed_within_a_period_are_retried(admin: Admin) -> None:
    old, new = uuid4(), uuid4()
    for lead_id, at in ((old, "2026-01-01T00:00Z"), (new, "2026-02-01T00:00Z")):
        await add_delivery(admin.db, "crm", "dead", lead_id, next_attempt_at=None)
        await admin.db.execute(f"UPDATE webhook_delivery SET updated_at = '{at}' WHERE lead_id = $1", lead_id)
    period = {"since": "2026-01-15T00:00Z", "until": "2026-02-15T00:00Z"}
    detail = await run_bulk(admin, action="retry", destination="crm", deliveries=period)
    assert [item["lead_id"] for item in detail["items"]] == [str(new)]


@pytest.mark.parametrize(("budget", "shown"), [(100, [3, 2]), (4, [2, 2]), (1, [0, 0])])
async def test_the_counts_of_the_groups_share_a_bound(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, budget: int, shown: list[int]
) -> None:
    monkeypatch.setattr(failed_deliveries, "COUNT_BUDGET", budget)
    for name, count in (("crm", 2), ("shop", 3)):
        for _ in range(count):
            await add_delivery(admin.db, name, "dead", next_attempt_at=None)
    groups = (await admin.get(f"{PATH}/groups"))["groups"]
    assert [group["deliveries"] for group in groups] == shown
    assert [group["has_more"] for group in groups] == [
        {"crm": 2, "shop": 3}[group["destination"]] > group["deliveries"] for group in groups
    ]


async def test_the_groups_of_one_destination_are_not_cut_by_those_of_others(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_deliveries, "MAX_GROUPS", 1)
    await add_delivery(admin.db, "crm", "dead", next_attempt_at=None)
    await add_delivery(admin.db, "shop", "dead", next_attempt_at=None)
    await add_delivery(admin.db, "zoo", "dead", next_attempt_at=None)
    (group,) = (await admin.get(f"{PATH}/groups", destination="shop"))["groups"]
    assert group["destination"] == "shop"


async def test_nothing_is_retried_at_a_destination_that_the_file_lost(admin: Admin, tmp_path: Path) -> None:
    lead_id = uuid4()
    await add_delivery(admin.db, "crm", "dead", lead_id, next_attempt_at=None)
    await admin.db.execute("INSERT INTO webhook_destination (name, disabled_at) VALUES ('crm', now())")
    started = await start_bulk(admin.client, action="retry", destination="crm", ids=[str(lead_id)])
    write_sites(tmp_path, destination("shop", "https://x.example/hook"))
    await eventually(
        lambda: admin.get("/admin/destinations"),
        until=lambda found: "removed" in [each["state"] for each in found["destinations"]],
        seconds=20,
        what="the new sites file",
    )
    await admin.db.execute("UPDATE webhook_destination SET disabled_at = NULL")
    detail = await finish_bulk(admin.client, started["bulk"]["id"])
    assert detail["results"] == {"refused": 1}
    assert await admin.db.fetchval("SELECT state FROM webhook_delivery") == "dead"


@pytest.mark.parametrize("status", ["spam", "held"])
async def test_a_lead_that_became_spam_before_it_was_received_is_refused(admin: Admin, status: str) -> None:
    good, spam, known = await admin.add_lead(), await admin.add_lead(status), await admin.add_lead(status)
    for lead in (good, spam):
        await add_delivery(admin.db, "crm", "dead", lead.lead_id, next_attempt_at=None)
    later = await add_delivery(admin.db, "crm", "failed", spam.lead_id, "lead.updated")
    # The destination has this lead, so it also gets its change.
    await add_delivery(admin.db, "crm", "delivered", known.lead_id)
    change = await add_delivery(admin.db, "crm", "dead", known.lead_id, "lead.status_changed")
    order = {"action": "retry", "destination": "crm", "deliveries": {}}
    preview = await preview_bulk(admin.client, **order)
    assert (preview["leads"], preview["message"]) == (3, "2 of 3 leads can be changed.")
    assert [(each["status"], each["leads"]) for each in preview["refused"]] == [(status, 1)]
    detail = await run_bulk(admin, **order)
    assert detail["results"] == {"changed": 2, "refused": 1}
    (refused,) = [each for each in detail["items"] if each["result"] == "refused"]
    assert (refused["lead_id"], refused["reason"]) == (str(spam.lead_id), NOT_RELEASED)
    states = "SELECT state FROM webhook_delivery WHERE event_id = $1"
    assert [await admin.db.fetchval(states, each) for each in (later, change)] == ["failed", "pending"]
    # Alone, and with all of its destination, it is refused too.
    path = f"/admin/leads/{spam.lead_id}/deliveries/{later}/crm/resend"
    assert (await admin.client.post(path)).json()["detail"] == NOT_RELEASED
    retried = (await admin.client.post("/admin/destinations/crm/retry")).json()
    assert retried == {"retried": 0, "left": 0}
    await admin.db.execute("UPDATE lead_inbox SET status = 'received' WHERE id = $1", spam.lead_id)
    assert (await run_bulk(admin, **order))["results"] == {"changed": 1}


@pytest.mark.parametrize("status", ["spam", "held"])
async def test_a_lead_that_became_spam_is_sent_if_it_has_retries_left(admin: Admin, status: str) -> None:
    # Its own next attempt would send it too.
    lead = await admin.add_lead(status)
    received = await add_delivery(admin.db, "crm", "failed", lead.lead_id)
    order = {"action": "retry", "destination": "crm", "deliveries": {}}
    assert (await preview_bulk(admin.client, **order))["refused"] == []
    assert (await admin.client.post("/admin/destinations/crm/retry")).json() == {"retried": 1, "left": 0}
    await admin.db.execute("UPDATE webhook_delivery SET state = 'failed'")
    assert (await run_bulk(admin, **order))["results"] == {"changed": 1}
    await admin.db.execute("UPDATE webhook_delivery SET state = 'failed'")
    path = f"/admin/leads/{lead.lead_id}/deliveries/{received}/crm/resend"
    assert (await admin.client.post(path)).status_code == 204
