"""Incidents on real PostgreSQL: opened once by several processes, acknowledged, resolved, and gone."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from services.admin.monitoring.metrics_poller import update_incidents
from services.admin.schemas.incidents import LASTS_AFTER, IncidentFilter, Sighting
from services.admin.store.incidents import GONE_AFTER, Incidents
from tests.support.services.admin import Admin

PAUSED = Sighting(
    key="paused stages: Email: ", component="Email", reason="paused: 100 of the last 200 records were dead",
    severity="bad", url="/admin/status#paused-notifier", affected_leads=3,
)  # fmt: skip
LAG = Sighting(key="lag", component="Storage", reason="9 records", severity="bad", url="", affected_leads=9)


@pytest.fixture
async def incidents(postgres: Postgres) -> Any:
    async with open_pool(postgres, "test") as pool:
        yield Incidents(pool)


async def pass_time(admin: Admin, age: timedelta) -> None:
    """Let everything that was seen be seen this much earlier."""
    await admin.db.execute(
        "UPDATE incident"
        " SET first_seen_at = first_seen_at - $1::interval, last_seen_at = last_seen_at - $1::interval",
        age,
    )


async def open_incident(admin: Admin, incidents: Incidents) -> Any:
    """Record a failure that has lasted, and return its incident as the API shows it."""
    await incidents.record([PAUSED])
    await pass_time(admin, LASTS_AFTER)
    await incidents.record([PAUSED])
    opened = (await admin.get("/admin/incidents", state="open"))["incidents"]
    return next(each for each in opened if each["reason"] == PAUSED.reason)


async def test_a_failure_that_lasts_is_one_incident_of_all_processes(
    admin: Admin, incidents: Incidents
) -> None:
    await asyncio.gather(*(incidents.record([PAUSED, LAG]) for _ in range(6)))
    assert await admin.db.fetchval("SELECT count(*) FROM incident WHERE key = $1", PAUSED.key) == 1
    shown = (await incidents.list_incidents(IncidentFilter(state="open"))).incidents
    assert PAUSED.reason not in [each.reason for each in shown], "it does not last yet"
    await pass_time(admin, LASTS_AFTER)
    more = PAUSED.model_copy(update={"reason": "paused: more", "affected_leads": 12})
    await asyncio.gather(incidents.record([more]), incidents.record([more]))
    await incidents.record([more.model_copy(update={"affected_leads": 5})])
    shown = (await incidents.list_incidents(IncidentFilter(state="open"))).incidents
    (incident,) = [each for each in shown if each.reason == "paused: more"]
    assert (incident.affected_leads, incident.owner, incident.resolved_at) == (12, None, None)
    assert incident.last_seen_at - incident.first_seen_at >= LASTS_AFTER


async def test_a_failure_that_is_gone_resolves_its_incident(admin: Admin, incidents: Incidents) -> None:
    opened = await open_incident(admin, incidents)
    await incidents.record([LAG])
    assert opened["id"] in str(await admin.get("/admin/incidents", state="open")), "it may come back"
    await pass_time(admin, GONE_AFTER + timedelta(seconds=1))
    await incidents.record([LAG])
    resolved = (await admin.get("/admin/incidents", state="resolved"))["incidents"]
    (incident,) = [each for each in resolved if each["id"] == opened["id"]]
    assert incident["resolved_by"] == "fastcore"
    assert incident["resolved_at"] == incident["last_seen_at"]
    await incidents.record([PAUSED])
    assert await admin.db.fetchval("SELECT count(*) FROM incident WHERE key = $1", PAUSED.key) == 2


async def test_a_failure_that_comes_back_after_an_outage_has_its_own_start(
    admin: Admin, incidents: Incidents
) -> None:
    opened = await open_incident(admin, incidents)
    await post(admin, f"{opened['id']}/acknowledge")
    await pass_time(admin, GONE_AFTER + timedelta(seconds=1))
    # Nobody recorded in between: no admin process was running.
    await asyncio.gather(*(incidents.record([PAUSED, LAG]) for _ in range(4)))
    old, new = await admin.db.fetch(
        "SELECT * FROM incident WHERE key = $1 ORDER BY first_seen_at",
        PAUSED.key,
    )
    assert (str(old["id"]), old["owner"], old["resolved_by"]) == (opened["id"], "ann", "fastcore")
    assert old["resolved_at"] == old["last_seen_at"]
    assert (new["owner"], new["resolved_at"]) == (None, None)
    assert new["first_seen_at"] - old["last_seen_at"] > GONE_AFTER


async def test_a_failure_that_does_not_last_leaves_no_trace(admin: Admin, incidents: Incidents) -> None:
    await incidents.record([PAUSED])
    await pass_time(admin, GONE_AFTER + timedelta(seconds=1))
    await incidents.record([])
    assert await admin.db.fetchval("SELECT count(*) FROM incident WHERE key = $1", PAUSED.key) == 0


async def post(admin: Admin, path: str, status: int = 200, **body: Any) -> Any:
    answer = await admin.client.post(f"/admin/incidents/{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_an_incident_is_acknowledged_and_resolved_with_audit_entries(
    admin: Admin, incidents: Incidents
) -> None:
    incident = await open_incident(admin, incidents)
    taken = await post(admin, f"{incident['id']}/acknowledge")
    assert taken["owner"] == "ann"
    given = await post(admin, f"{incident['id']}/acknowledge", owner="bob")
    assert (given["owner"], given["acknowledged_at"]) == ("bob", taken["acknowledged_at"])
    resolved = await post(admin, f"{incident['id']}/resolve")
    assert (resolved["resolved_by"], resolved["owner"]) == ("ann", "bob")
    for action in ("acknowledge", "resolve"):
        await post(admin, f"{incident['id']}/{action}", 409)
        await post(admin, f"{uuid4()}/{action}", 404)
    rows = await admin.db.fetch(
        "SELECT event, actor, details_json FROM audit_log WHERE event LIKE 'incident.%' ORDER BY id"
    )
    about = {"incident_id": incident["id"], "component": "Email"}
    assert [(row[0], row[1], json.loads(row[2])) for row in rows] == [
        ("incident.acknowledged", "ann", about | {"owner": "ann"}),
        ("incident.acknowledged", "ann", about | {"owner": "bob"}),
        ("incident.resolved", "ann", about),
    ]
    await incidents.record([PAUSED])
    assert await admin.db.fetchval("SELECT count(*) FROM incident WHERE key = $1", PAUSED.key) == 2


async def test_the_metric_counts_open_incidents_that_last(
    admin: Admin, incidents: Incidents, postgres: Postgres
) -> None:
    def shown(acknowledged: str) -> float | None:
        labels = {"severity": "bad", "acknowledged": acknowledged}
        return REGISTRY.get_sample_value("fastcore_open_incidents", labels)

    async with open_pool(postgres, "test") as pool:
        await update_incidents(pool)
        before = shown("no")
        await incidents.record([LAG])
        await update_incidents(pool)
        assert shown("no") == before, "it does not last yet"
        incident = await open_incident(admin, incidents)
        await update_incidents(pool)
        assert (before, shown("no"), shown("yes")) == (0, 1, 0)
        await incidents.acknowledge(incident["id"], "ann", "ann")
        await update_incidents(pool)
        assert (shown("no"), shown("yes")) == (0, 1)
