"""Destinations in the admin API on PostgreSQL: their list, what an admin does, and a lead's deliveries."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from runtime.settings import Kafka, Postgres, SitesFile
from services.admin.monitoring.metrics_poller import update_destinations
from services.admin.store.deliveries.destinations import Destinations
from tests.support.services.admin import Admin, running_admin
from tests.support.services.webhooks import destination, write_sites
from tests.support.stack import Stack

NOW = datetime.now(UTC)
KINDS = {"chat": "slack", "crm": "webhook"}
HEALTHY = {
    "state": "healthy", "since": None, "reason": None, "waiting": 0, "retrying": 0, "dead": 0,
    "delivered_last_day": 0, "oldest_waiting_at": None, "last_success_at": None, "last_failure_at": None,
    "last_failure_reason": None,
    "duration_p50_ms": None, "duration_p95_ms": None, "paused_until": None, "last_test": None,
}  # fmt: skip


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    """Run the admin service with the destinations chat and crm in its sites file."""
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    chat = destination("chat", "https://chat.example/s3cret-path", kind="slack", secret=None)
    path = write_sites(tmp_path, destination("crm", "https://crm.example/s3cret-path"), chat)
    async with running_admin(postgres, kafka, sites_file=SitesFile(path=path)) as running:
        yield running


async def _post(admin: Admin, path: str, status: int) -> Any:
    """Post to a route of a destination; fail on another status. Return the JSON, or None if there is none."""
    response = await admin.client.post(f"/admin/destinations/{path}")
    assert response.status_code == status, response.text
    return response.json() if response.content else None


async def _list(admin: Admin) -> dict[str, Any]:
    found = await admin.get("/admin/destinations")
    return {each["name"]: each for each in found["destinations"]}


async def _audited(admin: Admin) -> list[tuple[str, str, Any]]:
    rows = await admin.db.fetch(
        "SELECT event, actor, details_json FROM audit_log WHERE event LIKE 'destination.%' ORDER BY id"
    )
    return [(row[0], row[1], json.loads(row[2])) for row in rows]


async def test_the_list_shows_each_destination_without_its_url(admin: Admin) -> None:
    await admin.db.execute("INSERT INTO webhook_destination (name) VALUES ('old')")
    found = await _list(admin)
    assert list(found) == ["chat", "crm", "old"]
    assert found["crm"] == {"name": "crm", "kind": "webhook"} | HEALTHY
    assert found["chat"] == {"name": "chat", "kind": "slack"} | HEALTHY
    assert (found["old"]["state"], found["old"]["kind"]) == ("removed", None)
    assert "s3cret" not in json.dumps(found)


async def test_the_list_counts_what_waits_is_dead_and_was_delivered(admin: Admin) -> None:
    await admin.add_delivery("crm", "pending")
    await admin.add_delivery("crm", "failed")
    for _ in range(3):
        await admin.add_delivery("crm", "dead", next_attempt_at=None)
    await admin.add_delivery("crm", "suppressed", next_attempt_at=None)
    await admin.add_delivery("crm", "delivered")
    await admin.add_delivery("chat", "dead", next_attempt_at=None)
    await admin.db.execute("UPDATE webhook_delivery SET delivered_at = now() WHERE state = 'delivered'")
    await admin.add_delivery("crm", "delivered")
    await admin.db.execute(
        "UPDATE webhook_delivery SET delivered_at = now() - interval '25 hours' WHERE delivered_at IS NULL"
    )
    found = await _list(admin)
    numbers = [found["crm"][key] for key in ("waiting", "retrying", "dead", "delivered_last_day")]
    assert numbers == [2, 1, 3, 1]
    assert found["crm"]["oldest_waiting_at"] is not None
    assert [found["chat"][key] for key in ("waiting", "retrying", "dead")] == [0, 0, 1]


async def test_a_paused_destination_shows_since_when_and_why(admin: Admin) -> None:
    await admin.db.execute(
        "INSERT INTO webhook_destination (name, failures, paused_until, paused_since, last_reason)"
        " VALUES ('crm', 5, now() + interval '1 minute', now(), 'destination answered 500')"
    )
    crm = (await _list(admin))["crm"]
    assert (crm["state"], crm["reason"]) == ("paused", "destination answered 500")
    assert crm["last_failure_reason"] == "destination answered 500"
    assert crm["since"] < crm["paused_until"]


async def test_the_durations_are_those_of_the_last_24_hours(admin: Admin) -> None:
    for number in range(1, 101):
        await admin.add_delivery("crm", "delivered", duration_ms=number, delivered_at=NOW)
    await admin.add_delivery("crm", "delivered", duration_ms=90_000, delivered_at=NOW - timedelta(hours=25))
    await admin.add_delivery("crm", "failed", duration_ms=15_000)
    await admin.add_delivery("crm", "delivered", delivered_at=NOW)  # before migration 0035
    found = await _list(admin)
    assert [found["crm"][f"duration_p{share}_ms"] for share in (50, 95)] == [50, 95]
    assert found["chat"]["duration_p50_ms"] is None


async def test_a_test_event_is_one_delivery_to_one_destination(admin: Admin) -> None:
    event_id = (await _post(admin, "crm/test", 202))["event_id"]
    row = await admin.db.fetchrow(
        "SELECT d.destination, d.state, d.event_id, d.lead_id, e.type, e.body, e.delivery_count,"
        " d.next_attempt_at <= now() AS due FROM webhook_delivery d JOIN webhook_event e ON e.id = d.event_id"
    )
    assert row
    assert (row["destination"], row["state"], row["delivery_count"], row["due"]) == (
        "crm",
        "pending",
        1,
        True,
    )
    assert str(row["event_id"]) == event_id
    body = json.loads(row["body"])
    assert (row["type"], body["type"], body["data"]["id"]) == ("lead.test", "lead.test", str(row["lead_id"]))
    assert await _audited(admin) == [
        ("destination.tested", "ann", {"destination": "crm", "event_id": event_id})
    ]


async def test_the_list_has_the_result_of_the_last_test_event(admin: Admin) -> None:
    for _ in range(2):
        event_id = (await _post(admin, "crm/test", 202))["event_id"]
    await admin.db.execute(
        "UPDATE webhook_delivery SET state = 'failed', attempts = 1, status_code = 500, response = 'oops',"
        " reason = 'destination answered 500', duration_ms = 12 WHERE event_id = $1",
        UUID(event_id),
    )
    test = (await _list(admin))["crm"]["last_test"]
    assert (test["event_id"], test["state"], test["status_code"]) == (event_id, "failed", 500)
    assert (test["reason"], test["response"], test["duration_ms"]) == ("destination answered 500", "oops", 12)
    assert (await _list(admin))["chat"]["last_test"] is None


async def test_disable_and_enable_are_shown_and_audited(admin: Admin) -> None:
    await _post(admin, "crm/disable", 204)
    crm = (await _list(admin))["crm"]
    assert (crm["state"], crm["reason"]) == ("disabled", "disabled by ann")
    assert crm["since"] is not None
    for path in ("crm/disable", "crm/test"):
        assert "disabled" in (await _post(admin, path, 409))["detail"]
    assert await admin.db.fetchval("SELECT count(*) FROM webhook_event") == 0
    await _post(admin, "crm/enable", 204)
    assert (await _list(admin))["crm"] == {"name": "crm", "kind": "webhook"} | HEALTHY
    assert await _audited(admin) == [
        ("destination.disabled", "ann", {"destination": "crm", "reason": "disabled by ann"}),
        ("destination.enabled", "ann", {"destination": "crm"}),
    ]


async def test_enabling_ends_a_pause_and_its_count_of_failures(admin: Admin) -> None:
    await admin.db.execute(
        "INSERT INTO webhook_destination (name, failures, paused_until, paused_since, next_send_at)"
        " VALUES ('crm', 9, now() + interval '9 minutes', now(), now() + interval '1 hour')"
    )
    await _post(admin, "crm/enable", 204)
    row = await admin.db.fetchrow(
        "SELECT failures, paused_until, paused_since, next_send_at <= now() FROM webhook_destination"
    )
    assert row
    assert tuple(row) == (0, None, None, True)


async def test_retry_lets_dead_deliveries_of_one_destination_be_sent(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.admin.store.deliveries.destinations.RETRY_MAX", 2)
    await admin.add_delivery("crm", "failed", retries=4)
    for name in ("crm", "crm", "chat"):
        await admin.add_delivery(name, "dead", next_attempt_at=None, retries=9)
    assert await _post(admin, "crm/retry", 200) == {"retried": 2, "left": 1}
    assert await _post(admin, "crm/retry", 200) == {"retried": 1, "left": 0}
    assert await _post(admin, "crm/retry", 200) == {"retried": 0, "left": 0}
    rows = await admin.db.fetch(
        "SELECT destination, state, retries, next_attempt_at <= now() AS due, count(*) FROM webhook_delivery"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("chat", "dead", 9, None, 1), ("crm", "pending", 0, True, 3)]
    assert await _audited(admin) == [
        ("destination.retried", "ann", {"destination": "crm", "retried": 2}),
        ("destination.retried", "ann", {"destination": "crm", "retried": 1}),
    ], "nothing is audited if nothing changed"


@pytest.mark.parametrize("action", ["test", "disable", "enable", "retry"])
async def test_a_destination_that_the_file_lacks_is_not_found(admin: Admin, action: str) -> None:
    await admin.db.execute("INSERT INTO webhook_destination (name) VALUES ('old')")
    for name in ("old", "absent"):
        problem = await _post(admin, f"{name}/{action}", 404)
        assert problem["detail"] == "The sites file has no destination with this name."
    await _post(admin, f"{'x' * 51}/{action}", 422)
    assert await _audited(admin) == []
    assert await admin.db.fetchval("SELECT array_agg(name) FROM webhook_destination") == ["old"]


@pytest.mark.parametrize("path", ["", "/crm/test", "/crm/disable", "/crm/enable", "/crm/retry"])
async def test_each_route_needs_a_token(admin: Admin, path: str) -> None:
    response = await admin.client.request(
        "POST" if path else "GET", f"/admin/destinations{path}", headers={"Authorization": "Bearer wrong"}
    )
    assert response.status_code == 401
    assert await _audited(admin) == []


async def test_a_leads_deliveries_are_shown_in_the_order_of_its_events(admin: Admin) -> None:
    lead_id = uuid4()
    first = await admin.add_delivery(
        "crm", "delivered", lead_id, attempts=2, status_code=200, response="thank you"
    )
    second = await admin.add_delivery(
        "crm", "failed", lead_id, attempts=1, status_code=500, reason="destination answered 500",
        position=2,
    )  # fmt: skip
    await admin.add_delivery("crm", "pending")
    shown = (await admin.get(f"/admin/leads/{lead_id}/deliveries"))["deliveries"]
    assert [each["event_id"] for each in shown] == [str(first), str(second)]
    assert (shown[0]["state"], shown[0]["response"], shown[0]["attempts"]) == ("delivered", "thank you", 2)
    assert (shown[1]["status_code"], shown[1]["reason"]) == (500, "destination answered 500")
    assert {each["event"] for each in shown} == {"lead.received"}
    assert (await admin.get(f"/admin/leads/{uuid4()}/deliveries"))["deliveries"] == []


async def test_the_gauges_count_each_destination(admin: Admin) -> None:
    def shown(gauge: str, name: str) -> float | None:
        return REGISTRY.get_sample_value(f"fastcore_destination_{gauge}", {"destination": name})

    await admin.add_delivery("crm", "pending")
    await admin.add_delivery("crm", "dead", next_attempt_at=None)
    await _post(admin, "chat/disable", 204)
    await admin.db.execute("INSERT INTO webhook_destination (name) VALUES ('old')")
    await admin.add_delivery("old", "dead", next_attempt_at=None)
    destinations = admin.app.state.adapters.destinations
    assert isinstance(destinations, Destinations)
    await update_destinations(lambda: destinations.list_destinations(KINDS | {"late": "http"}))
    assert [shown(each, "crm") for each in ("waiting", "dead", "failing")] == [1, 1, 0]
    assert [shown(each, "chat") for each in ("waiting", "dead", "failing")] == [0, 0, 1]
    assert shown("dead", "old") is None, "nobody can act on a destination that was removed"
    assert shown("waiting", "late") == 0
    await update_destinations(lambda: destinations.list_destinations(KINDS))
    assert shown("waiting", "late") is None, "a destination that is gone has no series"
