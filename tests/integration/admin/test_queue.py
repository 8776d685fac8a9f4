"""The routes of the replay queue on a real PostgreSQL: items, flush, clear and resume."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from runtime.settings import Kafka, Postgres
from tests.support.services.admin import Admin, running_admin


@pytest.fixture
async def admin(postgres: Postgres, kafka: Kafka) -> AsyncIterator[Admin]:
    async with running_admin(postgres, kafka) as running:
        yield running


async def test_items_are_filtered_and_paged(admin: Admin) -> None:
    now = datetime.now(UTC)
    for minute in range(5):
        await admin.add_queue_row(last_failed_at=now - timedelta(minutes=minute), origin_offset=minute)
    await admin.add_queue_row(state="dead", reason="smtp 550")
    dead = await admin.get("/admin/queue/items", state="dead")
    assert [item["reason"] for item in dead["items"]] == ["smtp 550"]
    first = await admin.get("/admin/queue/items", state="waiting", reason="smtp 451", limit=3)
    second = await admin.get("/admin/queue/items", state="waiting", limit=3, cursor=first["next_cursor"])
    assert [item["origin_offset"] for item in first["items"] + second["items"]] == [0, 1, 2, 3, 4]
    assert second["next_cursor"] is None
    assert (await admin.get("/admin/queue/items", stage="persister"))["items"] == []


async def test_a_flush_requests_all_waiting_rows_and_is_audited(admin: Admin) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    for _ in range(3):
        await admin.add_queue_row(next_attempt_at=later)
    await admin.add_queue_row(state="dead")
    answer = await admin.request("POST", "/admin/queue/flush", 202)
    assert answer["requested"] == 3
    rows = await admin.db.fetch("SELECT * FROM replay_queue WHERE requested_at IS NOT NULL")
    assert {(row["state"], row["requested_by"], row["attempts"]) for row in rows} == {("waiting", "ann", 0)}
    (entry,) = (await admin.get("/admin/audit", event="queue.flushed"))["entries"]
    assert (entry["actor"], entry["details_json"]) == ("ann", {"count": 3})


async def test_regression_a_flush_names_the_websites_to_import(admin: Admin) -> None:
    answer = await admin.request("POST", "/admin/queue/flush", 202)
    assert (answer["sites"], answer["message"]) == ([], "0 waiting rows are due now.")
    await admin.db.execute(
        "INSERT INTO scheduled_job (name, schedule, last_details) VALUES ('site_queue', '*', $1)",
        json.dumps({"sites": {"shop": {"depth": 2}, "blog": {"depth": 0}}}),
    )
    answer = await admin.request("POST", "/admin/queue/flush", 202)
    assert (answer["requested"], answer["sites"]) == (0, ["blog", "shop"])
    assert answer["message"] == (
        "0 waiting rows are due now. The websites' own queues are imported now: blog, shop."
    )
    assert await admin.db.fetchval("SELECT requested_at IS NOT NULL FROM scheduled_job")


async def test_clear_archives_waiting_rows_with_payload_and_audit(admin: Admin) -> None:
    lead_id = uuid4()
    await admin.add_queue_row(lead_id=lead_id, payload=b"bytes")
    await admin.add_queue_row(lead_id=None, stage="persister", kind="store")
    await admin.add_queue_row(state="replaying")
    answer = await admin.request("DELETE", "/admin/queue/clear", stage="notifier")
    assert (answer["archived"], answer["stages"]) == (1, {"notifier": 1})
    row = await admin.db.fetchrow("SELECT * FROM replay_queue WHERE lead_id = $1", lead_id)
    assert row is not None
    assert (row["state"], row["payload"], row["next_attempt_at"]) == ("archived", b"bytes", None)
    (entry,) = (await admin.get("/admin/audit", lead_id=str(lead_id)))["entries"]
    assert (entry["event"], entry["actor"]) == ("lead.archived", "ann")
    answer = await admin.request("DELETE", "/admin/queue/clear")
    assert answer["stages"] == {"persister": 1}
    cleared = (await admin.get("/admin/audit", event="queue.cleared"))["entries"]
    assert [entry["details_json"]["count"] for entry in cleared] == [1, 1]
    # A misspelt filter must not clear all rows.
    await admin.add_queue_row()
    await admin.request("DELETE", "/admin/queue/clear", 422, stages="persister")
    assert await admin.db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'waiting'") == 1


async def archive(admin: Admin, order: dict[str, Any], status: int = 200, **mode: Any) -> Any:
    response = await admin.client.post("/admin/queue/archive", json=order, params=mode)
    assert response.status_code == status, response.text
    return response.json()


async def test_dead_rows_are_archived_by_reason_after_a_preview(admin: Admin) -> None:
    refused = {"state": "dead", "next_attempt_at": None, "reason": "smtp 550 at rcpt"}
    lead_ids = [uuid4(), uuid4()]
    for lead_id in lead_ids:
        await admin.add_queue_row(lead_id=lead_id, payload=b"bytes", **refused)
    await admin.add_queue_row(lead_id=uuid4(), state="dead", next_attempt_at=None, reason="bug: KeyError")
    await admin.add_queue_row(lead_id=uuid4(), reason="smtp 550 at rcpt")
    order = {"state": "dead", "reason": "smtp 550 at rcpt", "comment": "mistyped"}
    preview = await archive(admin, order, dry_run=True)
    assert (preview["dry_run"], preview["rows"], len(preview["groups"])) == (True, 2, 1)
    assert await admin.db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'archived'") == 0
    await archive(admin, order, 409, expected=1)
    assert await admin.db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'archived'") == 0
    answer = await archive(admin, order, expected=2)
    assert (answer["dry_run"], answer["rows"]) == (False, 2)
    rows = await admin.db.fetch("SELECT lead_id, payload FROM replay_queue WHERE state = 'archived'")
    assert {(row["lead_id"], row["payload"]) for row in rows} == {(each, b"bytes") for each in lead_ids}
    (entry,) = (await admin.get("/admin/audit", event="queue.archived"))["entries"]
    assert entry["details_json"] == {
        "count": 2, "comment": "mistyped", "filter": {"state": "dead", "reason": "smtp 550 at rcpt"},
    }  # fmt: skip
    for lead_id in lead_ids:
        (entry,) = (await admin.get("/admin/audit", lead_id=str(lead_id)))["entries"]
        assert (entry["event"], entry["actor"]) == ("lead.archived", "ann")
    await archive(admin, order, 409)  # nothing is left
    assert (await admin.db.fetchval("SELECT count(*) FROM replay_queue WHERE state <> 'archived'")) == 2


async def test_a_row_that_is_being_sent_is_not_archived(admin: Admin) -> None:
    queue_id = await admin.add_queue_row(state="replaying")
    await archive(admin, {"ids": [str(queue_id)]}, 409)
    await archive(admin, {"state": "replaying"}, 422)
    await archive(admin, {"reasons": "misspelt"}, 422)


async def test_an_archived_row_can_be_replayed(admin: Admin) -> None:
    queue_id = await admin.add_queue_row(state="dead", next_attempt_at=None, payload=b"bytes")
    await archive(admin, {"ids": [str(queue_id)]})
    answer = await admin.request("POST", f"/admin/queue/{queue_id}/replay", 202)
    assert answer["previous_state"] == "archived"


async def test_a_paused_stage_is_resumed_once(admin: Admin) -> None:
    await admin.db.execute(
        "INSERT INTO stage_control VALUES ('notifier', true, 'too many', now(), 'notifier')"
    )
    answers = [await admin.request("POST", "/admin/stages/notifier/resume") for _ in range(2)]
    assert [answer["was_paused"] for answer in answers] == [True, False]
    row = await admin.db.fetchrow("SELECT paused, reason, changed_by FROM stage_control")
    assert row is not None
    assert tuple(row) == (False, None, "ann")
    (entry,) = (await admin.get("/admin/audit", event="stage.resumed"))["entries"]
    assert (entry["actor"], entry["details_json"]) == ("ann", {"stage": "notifier"})
    await admin.request("POST", "/admin/stages/nonsense/resume", 422)
