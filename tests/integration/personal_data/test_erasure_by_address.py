"""Erasure and export by address affect all data of one person, and of no other person."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.leads import LeadReceived
from runtime.database.postgres import open_pool, transaction
from runtime.database.replay_queue import resolve_replays
from runtime.settings import Postgres
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.statistics import statistics_job
from services.flusher.store import SQL as FLUSHER
from tests.support.database.database_dump import dump_database
from tests.support.factories import lead as make_lead
from tests.support.services.admin import Admin, queued_row
from tests.support.services.flusher import Clock
from tests.support.stack import Database


def json_of(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def site_row(payload: bytes, **changes: Any) -> dict[str, Any]:
    """Return a queue row of a website's entry that the gateway refused, so it is not validated."""
    return {
        "stage": "site",
        "kind": "pull",
        "lead_id": uuid4(),
        "by_origin": True,
        "reason": "gateway 422",
        "payload": payload,
        "state": "dead",
        "next_attempt_at": None,
        "made_by": "site_pull",
        "origin_topic": "shop",
        "origin_offset": uuid4().int % 10**9,
    } | changes


async def with_conflict(admin: Admin) -> tuple[LeadReceived, UUID]:
    """Store Ada's lead, and queue Bob's record under the same key as a conflict."""
    ada = await admin.add_lead(name="Ada", email="ada@example.com")
    bob = ada.model_copy(update={"name": "Bob", "email": "bob@example.com", "message": "Bob's own"})
    row = queued_row(bob, by_origin=True, reason="conflict", replay_lead_id=uuid4())
    return ada, await admin.add_queue_row(**row)


async def erase_person(admin: Admin, email: str) -> Any:
    answer = await admin.client.post("/admin/leads/erase", json={"email": email})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_regression_erasing_a_conflict_keeps_the_stored_lead(
    admin: Admin,
) -> None:
    ada, row = await with_conflict(admin)
    answer = await erase_person(admin, "bob@example.com")
    assert (answer["erased"], answer["records"]) == ([], [str(row)])
    assert answer["message"] == (
        "The personal data of 0 leads and 1 record in the queue of this person was deleted."
    )
    assert "bob" not in await dump_database(admin.db)
    assert await admin.db.fetchval("SELECT email FROM lead_inbox WHERE id = $1", ada.lead_id) == ada.email
    entry = await admin.db.fetchrow("SELECT lead_id, details_json FROM audit_log WHERE event = 'lead.erased'")
    assert entry
    assert (entry["lead_id"], json.loads(entry["details_json"])["queue_id"]) == (None, str(row))


@pytest.mark.parametrize("by", ["id", "address"])
async def test_regression_erasing_a_lead_keeps_another_person_s_record(admin: Admin, by: str) -> None:
    ada, row = await with_conflict(admin)
    if by == "id":
        await admin.request("DELETE", f"/admin/leads/{ada.lead_id}")
    else:
        await erase_person(admin, "ada@example.com")
    assert "ada@" not in await dump_database(admin.db)
    row_after = await admin.db.fetchrow("SELECT state, payload FROM replay_queue WHERE id = $1", row)
    assert row_after
    assert (row_after["state"], b"Bob's own" in row_after["payload"]) == ("dead", True)
    answer = await admin.client.post(f"/admin/queue/{row}/replay", json={})
    assert answer.status_code == 202, answer.text


async def test_regression_an_export_has_no_record_of_another_person(admin: Admin) -> None:
    ada, row = await with_conflict(admin)
    assert "Bob" not in (await admin.client.get(f"/admin/leads/{ada.lead_id}/export")).text
    bob = await admin.add_lead(name="Bob", email="Bob@example.com")
    data = await admin.get(f"/admin/leads/{bob.lead_id}/export")
    assert [each["id"] for each in data["queue"]] == [str(row)]
    assert data["other_leads"] == []


async def test_regression_an_address_in_a_message_finds_no_lead(admin: Admin) -> None:
    mentions = make_lead(email="eve@example.com", extra={"friend": "ada@example.com"})
    row = await admin.add_queue_row(**queued_row(mentions))
    assert (await erase_person(admin, "ada@example.com"))["erased"] == []
    assert await admin.db.fetchval("SELECT payload FROM replay_queue WHERE id = $1", row)


@pytest.mark.parametrize(
    "payload",
    [
        json_of(email=" ada@example.com "),
        json_of(email="Ada <Ada@Example.com>", message="call"),
        json_of(email="mailto:ada@example.com"),
        json_of(email="ada@example.com, other@example.com"),
        json_of(email=["ada@example.com"]),
        json_of(Email="ada@example.com"),
        b'{"email": "ada\\u0040example.com"}',
        b'{"email": "ada@example.com", "message": "\\u0000"}',
        b"email=x; ada@example.com\xff",
    ],
)
async def test_regression_a_website_s_row_is_erased_by_any_spelling(admin: Admin, payload: bytes) -> None:
    row = await admin.add_queue_row(**site_row(payload))
    other = await admin.add_queue_row(**site_row(json_of(email="dada@x.example", note="ada@example.com")))
    answer = await erase_person(admin, "ada@example.com")
    assert answer["records"] == [str(row)]
    assert await admin.db.fetchval("SELECT payload FROM replay_queue WHERE id = $1", row) is None
    assert await admin.db.fetchval("SELECT payload FROM replay_queue WHERE id = $1", other)


async def test_regression_a_non_ascii_address_is_found_in_another_case(admin: Admin) -> None:
    row = await admin.add_queue_row(**site_row('{"email": "MÜLLER@Example.com"}'.encode()))
    assert (await erase_person(admin, "müller@example.com"))["records"] == [str(row)]


async def test_an_erased_conflict_under_replay_leaves_a_tombstone(admin: Admin) -> None:
    _, row = await with_conflict(admin)
    await admin.db.execute(
        "UPDATE replay_queue SET state = 'replaying', next_attempt_at = now() WHERE id = $1", row
    )
    await erase_person(admin, "bob@example.com")
    replayed = await admin.db.fetchval("SELECT replay_lead_id FROM replay_queue WHERE id = $1", row)
    assert await admin.db.fetchval("SELECT status FROM lead_inbox WHERE id = $1", replayed) == "erased"


async def test_regression_an_edit_does_not_change_another_person_s_record(
    admin: Admin,
) -> None:
    ada = make_lead(email="ada@example.com")
    own = await admin.add_queue_row(**queued_row(ada))
    bob = ada.model_copy(update={"email": "bob@example.com"})
    await admin.add_queue_row(
        **queued_row(bob, by_origin=True, origin_offset=2, last_failed_at=datetime.now(UTC))
    )
    answer = await admin.edit_lead(ada.lead_id, name="Ada King")
    assert answer["queue_ids"] == [str(own)]


async def test_regression_planner_statistics_forget_an_erased_person(
    admin: Admin, database: Database, db: Any
) -> None:
    for _ in range(4):
        await admin.add_lead(name="Gracehopper", email="grace@navy.example", message="grace")
    await admin.add_lead()
    await db.execute("ANALYZE")
    held = (
        "SELECT string_agg(concat(most_common_vals, histogram_bounds, most_common_elems), ' ')"
        " FROM pg_stats WHERE schemaname = 'public'"
    )
    assert "grace" in (await db.fetchval(held))
    await erase_person(admin, "grace@navy.example")
    requested_at = "SELECT requested_at FROM scheduled_job WHERE name = 'statistics'"
    assert await db.fetchval(requested_at)
    async with open_pool(Postgres.model_validate({"url": database.service}), "test") as pool:
        clock = Clock()
        assert await statistics_job(pool, JobRuns(pool, clock), clock).tick()
    assert await db.fetchval(requested_at) is None
    assert "grace" not in (await db.fetchval(held)).lower()


async def test_regression_a_resolved_row_drops_the_unedited_record(admin: Admin, database: Database) -> None:
    made = {"payload": b"new", "original_payload": b"old"}
    stored = await admin.add_queue_row(stage="persister", kind="store", **made)
    mailed = await admin.add_queue_row(**made)
    delivered = await admin.add_queue_row(**site_row(b"new"), original_payload=b"old")
    settings = Postgres.model_validate({"url": database.service})
    async with open_pool(settings, "test") as pool, transaction(pool) as connection:
        await resolve_replays(connection, "persister", [stored])
        await resolve_replays(connection, "notifier", [mailed])
        await FLUSHER.resolve_rows(connection, ids=[delivered], now=datetime.now(UTC))
    rows = await admin.db.fetch("SELECT state, payload, original_payload FROM replay_queue")
    assert [tuple(row) for row in rows] == [("resolved", None, None)] * 3
