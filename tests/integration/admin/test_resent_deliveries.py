"""One delivery of a lead is sent again: which may be, what is audited, and what the person's export has."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from runtime.settings import Kafka, Postgres, SitesFile
from tests.support.services.admin import Admin, running_admin
from tests.support.services.webhooks import destination, write_sites
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    path = write_sites(tmp_path, destination("crm", "https://crm.example/hook"))
    async with running_admin(postgres, kafka, sites_file=SitesFile(path=path)) as running:
        yield running


async def _resend(admin: Admin, lead_id: UUID, event_id: UUID, name: str = "crm", **query: str) -> Any:
    return await admin.client.post(
        f"/admin/leads/{lead_id}/deliveries/{event_id}/{name}/resend", params=query
    )


async def _delivery(admin: Admin, event_id: UUID) -> tuple[Any, ...]:
    row = await admin.db.fetchrow(
        "SELECT state, retries, next_attempt_at <= now() FROM webhook_delivery WHERE event_id = $1", event_id
    )
    assert row
    return tuple(row)


@pytest.mark.parametrize("state", ["failed", "dead"])
async def test_a_failed_delivery_is_sent_now_with_all_its_retries(admin: Admin, state: str) -> None:
    lead = await admin.add_lead()
    later: dict[str, Any] = (
        {"next_attempt_at": datetime.now(UTC) + timedelta(hours=9)} if state == "failed" else {}
    )
    event_id = await admin.add_delivery("crm", state, lead.lead_id, retries=7, **later)
    other = await admin.add_delivery("crm", state, retries=7, **later)
    assert (await _resend(admin, lead.lead_id, event_id)).status_code == 204
    assert await _delivery(admin, event_id) == ("pending", 0, True)
    assert (await _delivery(admin, other))[0] == state
    entry = await admin.db.fetchrow("SELECT event, actor, lead_id, details_json FROM audit_log")
    assert entry
    assert tuple(entry)[:3] == ("delivery.resent", "ann", lead.lead_id)
    details = {"destination": "crm", "event": "lead.received", "event_id": str(event_id)}
    assert json.loads(entry["details_json"]) == details
    activity = await admin.get(f"/admin/leads/{lead.lead_id}")
    assert "ann sent a delivery to crm again." in [each["title"] for each in activity["timeline"]]


async def test_a_delivery_that_arrived_is_sent_again_only_on_request(admin: Admin) -> None:
    lead_id = uuid4()
    event_id = await admin.add_delivery("crm", "delivered", lead_id, attempts=1)
    refused = await _resend(admin, lead_id, event_id)
    assert refused.status_code == 409
    assert refused.json()["detail"] == "The delivery has arrived. Confirm that it is sent again."
    assert (await _resend(admin, lead_id, event_id, if_delivered="true")).status_code == 204
    assert await _delivery(admin, event_id) == ("pending", 0, True)


@pytest.mark.parametrize("state", ["pending", "sending", "suppressed"])
async def test_what_is_sent_or_never_will_be_is_refused(admin: Admin, state: str) -> None:
    lead_id = uuid4()
    lease: dict[str, Any] = {"lease_until": datetime.now(UTC)} if state == "sending" else {}
    event_id = await admin.add_delivery("crm", state, lead_id, **lease)
    assert (await _resend(admin, lead_id, event_id, if_delivered="true")).status_code == 409
    assert (await _delivery(admin, event_id))[0] == state


async def test_an_erased_leads_data_is_not_sent_but_its_erasure_is(admin: Admin) -> None:
    lead = await admin.add_lead()
    received = await admin.add_delivery("crm", "delivered", lead.lead_id, attempts=1)
    assert (await admin.client.delete(f"/admin/leads/{lead.lead_id}")).status_code == 200
    refused = await _resend(admin, lead.lead_id, received, if_delivered="true")
    assert refused.status_code == 409
    assert "erased" in refused.json()["detail"]
    notice = await admin.db.fetchval("SELECT id FROM webhook_event WHERE type = 'lead.erased'")
    await admin.db.execute(
        "UPDATE webhook_delivery SET state = 'dead', next_attempt_at = NULL WHERE event_id = $1", notice
    )
    assert (await _resend(admin, lead.lead_id, notice)).status_code == 204
    assert (await _delivery(admin, notice))[0] == "pending"


async def test_an_erasure_keeps_the_time_at_which_the_lead_arrived(admin: Admin) -> None:
    lead, arrived_at = await admin.add_lead(), datetime(2026, 1, 3, 10, 30, tzinfo=UTC)
    changes = {"attempts": 1, "updated_at": arrived_at}
    received = await admin.add_delivery("crm", "delivered", lead.lead_id, response="thanks", **changes)
    waiting = await admin.add_delivery("erp", "dead", lead.lead_id, **changes)
    await admin.client.delete(f"/admin/leads/{lead.lead_id}")
    rows = await admin.db.fetch(
        "SELECT event_id, state, response, updated_at = $1 FROM webhook_delivery WHERE event_id = ANY($2)",
        arrived_at,
        [received, waiting],
    )
    assert {row["event_id"]: tuple(row)[1:] for row in rows} == {
        received: ("delivered", None, True),
        waiting: ("suppressed", None, False),
    }


async def test_a_disabled_destination_gets_nothing(admin: Admin) -> None:
    lead_id = uuid4()
    event_id = await admin.add_delivery("crm", "dead", lead_id)
    await admin.client.post("/admin/destinations/crm/disable")
    refused = await _resend(admin, lead_id, event_id)
    assert (refused.status_code, "enable it first" in refused.text) == (409, True)


async def test_only_a_delivery_of_this_lead_is_found(admin: Admin) -> None:
    lead_id = uuid4()
    event_id = await admin.add_delivery("crm", "dead", lead_id)
    removed = await admin.add_delivery("old", "dead", lead_id)
    for lead, event, name in (
        (uuid4(), event_id, "crm"),
        (lead_id, uuid4(), "crm"),
        (lead_id, removed, "crm"),
        (lead_id, removed, "old"),
    ):
        assert (await _resend(admin, lead, event, name)).status_code == 404
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_a_persons_export_has_the_deliveries_of_the_lead(admin: Admin) -> None:
    lead = await admin.add_lead()
    await admin.add_delivery("crm", "delivered", lead.lead_id, attempts=1, response="Hello Ada")
    await admin.add_delivery("crm", "delivered")
    (delivery,) = (await admin.get(f"/admin/leads/{lead.lead_id}/export"))["deliveries"]
    assert (delivery["destination"], delivery["event"]) == ("crm", "lead.received")
    assert (delivery["state"], delivery["response"]) == ("delivered", "Hello Ada")
    assert delivery["created_at"]


async def test_a_lead_that_only_destinations_know_can_be_exported(admin: Admin) -> None:
    lead_id = uuid4()
    await admin.add_delivery("crm", "delivered", lead_id)
    assert len((await admin.get(f"/admin/leads/{lead_id}/export"))["deliveries"]) == 1
    await admin.get(f"/admin/leads/{uuid4()}/export", 404)
