"""Earlier leads are sent to a destination, on a real PostgreSQL: preview, results, rate and books."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from contracts.lead_events import RECEIVED, event_id_for
from runtime.settings import Kafka, Postgres, SitesFile
from tests.support.services.admin import Admin, running_admin
from tests.support.services.deliveries import (
    add_delivery,
    assert_books_balance,
    finish_bulk,
    preview_bulk,
    run_bulk,
    start_bulk,
)
from tests.support.services.webhooks import destination, write_sites
from tests.support.stack import Stack
from tests.support.wait import eventually

URL = "https://crm.example/hook"
CHANGES = ["lead.received", "lead.updated"]
ABSENT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    """Run the admin service with the destinations crm, shop, changes and status in its sites file."""
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    path = write_sites(
        tmp_path,
        destination("crm", URL),
        destination("shop", URL, sites=["shop"]),
        destination("changes", URL, events=CHANGES),
        destination("status", URL, events=["lead.status_changed"]),
    )
    async with running_admin(postgres, kafka, sites_file=SitesFile(path=path)) as running:
        yield running


async def deliveries(admin: Admin, name: str) -> dict[UUID, str]:
    """Return the state of each delivery to a destination, by the event's id."""
    sql = "SELECT event_id, state FROM webhook_delivery WHERE destination = $1"
    return {row["event_id"]: row["state"] for row in await admin.db.fetch(sql, name)}


async def test_the_preview_says_what_is_sent_and_what_is_not(admin: Admin) -> None:
    for status in ("received", "won", "spam", "held", "erased"):
        await admin.add_lead(status, site="shop")
    await admin.add_lead(site="default")
    for state in ("delivered", "pending", "dead", "failed"):
        lead = await admin.add_lead(site="shop")
        await add_delivery(admin.db, "shop", state, lead.lead_id)
        await add_delivery(admin.db, "crm", "delivered", lead.lead_id)
    preview = await preview_bulk(admin.client, action="send", destination="shop", filter={})
    assert (preview["leads"], preview["already_sent"], preview["emails"]) == (10, 2, 0)
    assert preview["message"] == "4 of 10 leads can be changed."
    refused = {(group["status"], group["leads"], group["why"]) for group in preview["refused"]}
    not_sent = "Spam and held leads are not sent. Release the lead first."
    assert refused == {
        ("erased", 1, "Its personal data is deleted."),
        ("held", 1, not_sent),
        ("spam", 1, not_sent),
        ("received", 1, "The destination does not receive leads of this website."),
    }
    assert await admin.db.fetchval("SELECT count(*) FROM bulk_change") == 0


async def test_each_lead_is_sent_once_and_a_failed_delivery_begins_again(admin: Admin) -> None:
    new, dead, sent, spam = [await admin.add_lead("spam" if n == 3 else "won", name=f"{n}") for n in range(4)]
    await add_delivery(admin.db, "shop", "delivered", new.lead_id)
    await add_delivery(admin.db, "crm", "dead", dead.lead_id, retries=9, next_attempt_at=None)
    await add_delivery(admin.db, "crm", "delivered", sent.lead_id)
    detail = await run_bulk(admin, action="send", destination="crm", filter={})
    assert detail["results"] == {"changed": 2, "unchanged": 1, "refused": 1}
    ids = {each.name: event_id_for(each.lead_id, RECEIVED) for each in (new, dead, sent, spam)}
    assert await deliveries(admin, "crm") == {
        ids["0"]: "pending", ids["1"]: "pending", ids["2"]: "delivered"
    }  # fmt: skip
    revived = "SELECT retries, next_attempt_at <= now() AS due FROM webhook_delivery WHERE event_id = $1"
    assert tuple(await admin.db.fetchrow(revived, ids["1"]) or ()) == (0, True)
    again = await run_bulk(admin, action="send", destination="crm", filter={}, per_second=100)
    assert again["results"] == {"unchanged": 3, "refused": 1}
    entries = await admin.db.fetch("SELECT * FROM audit_log WHERE event = 'delivery.requested'")
    assert {row["lead_id"] for row in entries} == {new.lead_id, dead.lead_id}
    assert len(entries) == 2, "one entry for each lead"
    assert entries[0]["actor"] == "ann"
    details = json.loads(entries[0]["details_json"])
    assert details == {"bulk_id": detail["bulk"]["id"], "action": "send", "destination": "crm"}
    await assert_books_balance(admin.db)


async def test_a_lead_without_an_event_is_sent_as_it_is_now(admin: Admin) -> None:
    lead = await admin.add_lead("won", site="shop", extra={"budget": 5000})
    await run_bulk(admin, action="send", destination="crm", ids=[str(lead.lead_id)])
    row = await admin.db.fetchrow("SELECT * FROM webhook_event")
    assert row
    body = json.loads(row["body"])
    assert (row["id"], body["type"]) == (event_id_for(lead.lead_id, RECEIVED), "lead.received")
    assert (body["data"]["status"], body["data"]["site_name"]) == ("won", "Shop Nord")
    assert body["data"]["extra"] == {"budget": 5000}


async def test_later_changes_follow_their_lead_if_the_destination_lists_them(admin: Admin) -> None:
    lead = await admin.add_lead("won")
    before = await add_delivery(admin.db, "status", "delivered", lead.lead_id, "lead.updated")
    received = await add_delivery(admin.db, "shop", "delivered", lead.lead_id)
    later = await add_delivery(admin.db, "shop", "delivered", lead.lead_id, "lead.updated")
    for name in ("crm", "changes"):
        await run_bulk(admin, action="send", destination=name, ids=[str(lead.lead_id)])
    assert set(await deliveries(admin, "crm")) == {received}
    assert set(await deliveries(admin, "changes")) == {received, later}, "what came before is part of it"
    assert before not in await deliveries(admin, "changes")
    await assert_books_balance(admin.db)


async def test_the_rate_bounds_the_leads_per_second(admin: Admin) -> None:
    for _ in range(7):
        await admin.add_lead()
    began = time.monotonic()
    started = await start_bulk(admin.client, action="send", destination="crm", filter={}, per_second=2)
    assert started["bulk"]["per_second"] == 2
    # An action without a rate does not wait behind it.
    await start_bulk(admin.client, action="status", new_status="lost", filter={})
    await eventually(
        lambda: admin.db.fetchval("SELECT count(*) FROM lead_inbox WHERE status = 'lost'"),
        until=lambda lost: lost == 7,
    )
    assert len(await deliveries(admin, "crm")) <= 4
    await finish_bulk(admin.client, started["bulk"]["id"])
    assert time.monotonic() - began >= 3
    assert len(await deliveries(admin, "crm")) == 7


async def test_a_cancelled_action_sends_no_more_leads(admin: Admin) -> None:
    for _ in range(30):
        await admin.add_lead()
    started = await start_bulk(admin.client, action="send", destination="crm", filter={}, per_second=3)
    path = f"/admin/bulk/{started['bulk']['id']}"
    await eventually(lambda: admin.get(path), until=lambda detail: detail["bulk"]["done"] >= 3)
    cancelled = await admin.request("DELETE", path)
    assert 3 <= cancelled["done"] < 30
    detail = await run_bulk(admin, action="send", destination="crm", filter={}, per_second=100)
    assert detail["results"] == {"unchanged": cancelled["done"], "changed": 30 - cancelled["done"]}


@pytest.mark.parametrize(
    "state", ["disabled_at = now()", "paused_until = now() + interval '1 hour', paused_since = now()"]
)
async def test_an_action_waits_while_its_destination_is_off(admin: Admin, state: str) -> None:
    await admin.add_lead()
    await admin.db.execute("INSERT INTO webhook_destination (name) VALUES ('crm')")
    await admin.db.execute(f"UPDATE webhook_destination SET {state}")
    started = await start_bulk(admin.client, action="send", destination="crm", filter={})
    path = f"/admin/bulk/{started['bulk']['id']}"
    # Another destination is not held up.
    await run_bulk(admin, action="send", destination="shop", filter={})
    waiting = (await admin.get(path))["bulk"]
    assert (waiting["state"], waiting["is_waiting"], waiting["done"]) == ("running", True, 0)
    assert (await admin.client.post("/admin/destinations/crm/enable")).status_code == 204
    detail = await finish_bulk(admin.client, started["bulk"]["id"])
    assert detail["results"] == {"changed": 1}
    assert not detail["bulk"]["is_waiting"]


async def work_as_before(admin: Admin, lead_id: UUID, bulk_id: UUID) -> None:
    """Do a chunk of one lead as the worker of before migration 0034 does it."""
    async with admin.db.transaction():
        await admin.db.execute("UPDATE lead_inbox SET assignee = 'crm' WHERE id = $1", lead_id)
        sql = "UPDATE bulk_change SET next_position = 2, finished_at = now() WHERE id = $1"
        await admin.db.execute(sql, bulk_id)


async def test_an_admin_of_before_does_not_take_a_send_for_an_assignment(admin: Admin) -> None:
    lead = await admin.add_lead()
    await admin.db.execute("INSERT INTO webhook_destination (name, disabled_at) VALUES ('crm', now())")
    bulk_id = (await start_bulk(admin.client, action="send", destination="crm", filter={}))["bulk"]["id"]
    with pytest.raises(asyncpg.RaiseError, match="does not know the bulk action send"):
        await work_as_before(admin, lead.lead_id, UUID(bulk_id))
    assert await admin.db.fetchval("SELECT assignee FROM lead_inbox") is None
    assert (await admin.client.post("/admin/destinations/crm/enable")).status_code == 204
    assert (await finish_bulk(admin.client, bulk_id))["results"] == {"changed": 1}


async def test_a_destination_that_the_file_lacks_is_not_found(admin: Admin) -> None:
    lead = await admin.add_lead()
    ids = [str(lead.lead_id)]
    for action in ("send", "retry"):
        await start_bulk(admin.client, 404, action=action, destination="old", ids=ids)
    refused = await run_bulk(admin, action="send", destination="status", ids=ids)
    assert refused["items"][0]["reason"].endswith("its events lack lead.received.")


@pytest.mark.parametrize(
    "body",
    [
        {"action": "send", "filter": {}},
        {"action": "send", "destination": "crm"},
        {"action": "send", "destination": "crm", "deliveries": {}},
        {"action": "send", "destination": "crm", "filter": {}, "per_second": 101},
        {"action": "retry", "destination": "crm", "filter": {}},
        {"action": "retry", "destination": "CRM", "deliveries": {}},
        {"action": "status", "new_status": "won", "filter": {}, "destination": "crm"},
        {"action": "erase", "ids": [ABSENT], "per_second": 5},
    ],
)
async def test_an_incomplete_order_is_refused(admin: Admin, body: dict[str, Any]) -> None:
    await start_bulk(admin.client, 422, **body)
