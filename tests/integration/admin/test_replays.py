"""The replay routes on a real PostgreSQL: groups, one row, previews, refusals, history and cancel."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from runtime.settings import Kafka, Postgres
from tests.support.services.admin import Admin, running_admin
from tests.support.stack import Stack

BULK = "/admin/queue/replay"
DEAD = {"state": "dead", "reason": "smtp 550 5.1.1", "attempts": 3, "final": True, "next_attempt_at": None}


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    # Without topics: creating them would take longer than these tests, which do not use Kafka.
    async with running_admin(postgres, Kafka(bootstrap_servers=stack.bootstrap_servers)) as running:
        yield running


async def send(admin: Admin, path: str, body: Any, status: int, **params: Any) -> Any:
    answer = await admin.client.post(path, json=body, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def states(admin: Admin) -> dict[str, int]:
    rows = await admin.db.fetch("SELECT state, count(*) AS rows FROM replay_queue GROUP BY state")
    return {row["state"]: row["rows"] for row in rows}


async def test_rows_are_grouped_by_failure_and_a_group_selects_its_items(admin: Admin) -> None:
    now = datetime.now(UTC)
    for minutes in (5, 3, 1):
        at = now - timedelta(minutes=minutes)
        await admin.add_queue_row(**DEAD, first_failed_at=at, last_failed_at=at)
    await admin.add_queue_row()
    await admin.add_queue_row(state="archived")
    await admin.add_queue_row(state="resolved", payload=None)
    found = await admin.get("/admin/queue/groups")
    assert [(group["state"], group["reason"], group["rows"]) for group in found["groups"]] == [
        ("dead", "smtp 550 5.1.1", 3),
        ("waiting", "smtp 451", 1),
    ]
    assert found["total"] == 4
    group = found["groups"][0]
    assert group["oldest_at"] < group["newest_at"]
    named = {name: group[name] for name in ("stage", "kind", "state", "reason")}
    items = (await admin.get("/admin/queue/items", **named))["items"]
    assert len(items) == 3
    newest = await admin.get("/admin/queue/items", **named, since=(now - timedelta(minutes=2)).isoformat())
    assert [item["id"] for item in newest["items"]] == [items[0]["id"]]
    preview = await send(admin, BULK, named, 200, dry_run=True)
    assert preview["wanted"] == 3
    archived = await admin.get("/admin/queue/groups", state="archived")
    assert [group["rows"] for group in archived["groups"]] == [1]


@pytest.mark.parametrize("state", ["dead", "archived"])
async def test_a_dead_or_archived_row_is_replayed_with_three_new_retries(admin: Admin, state: str) -> None:
    queue_id = await admin.add_queue_row(**DEAD | {"state": state})
    answer = await send(admin, f"/admin/queue/{queue_id}/replay", {"comment": "mailbox is back"}, 202)
    assert (answer["previous_state"], answer["state"], answer["attempts"]) == (state, "waiting", 0)
    row = await admin.db.fetchrow("SELECT * FROM replay_queue")
    assert row is not None
    assert (row["state"], row["attempts"], row["final"]) == ("waiting", 0, False)
    assert (row["requested_by"], row["requested_comment"]) == ("ann", "mailbox is back")
    assert row["requested_at"] is not None


async def test_replaying_a_waiting_row_does_not_count_as_a_retry(admin: Admin) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    queue_id = await admin.add_queue_row(attempts=2, next_attempt_at=later)
    answer = await admin.request("POST", f"/admin/queue/{queue_id}/replay", 202)
    assert (answer["attempts"], "does not count as a retry" in answer["message"]) == (2, True)
    row = await admin.db.fetchrow("SELECT * FROM replay_queue")
    assert row is not None
    assert (row["attempts"], row["next_attempt_at"]) == (2, later)
    assert row["requested_at"] is not None


async def test_a_row_that_cannot_be_replayed_is_refused_with_the_reason(admin: Admin) -> None:
    erased = (await admin.add_lead("erased")).lead_id
    refused = {
        await admin.add_queue_row(state="resolved", payload=None): "the delivery succeeded",
        await admin.add_queue_row(state="replaying"): "It is being retried now",
        await admin.add_queue_row(**DEAD, payload=None): "nothing to send",
        await admin.add_queue_row(**DEAD, lead_id=erased): "lead is erased",
    }
    before = await admin.db.fetch("SELECT * FROM replay_queue ORDER BY id")
    for queue_id, words in refused.items():
        problem = await admin.request("POST", f"/admin/queue/{queue_id}/replay", 409)
        assert words in problem["detail"]
    unknown_id = uuid4()
    await admin.request("POST", f"/admin/queue/{unknown_id}/replay", 404)
    # Selected by id: each row that cannot be replayed is named, and one that can is replayed alone.
    ids = [str(each) for each in (*refused, unknown_id)]
    problem = await send(admin, BULK, {"ids": ids}, 409)
    assert "None of the matching deliveries" in problem["detail"]
    good = await admin.add_queue_row(**DEAD)
    answer = await send(admin, BULK, {"ids": [*ids, str(good)]}, 202)
    why = {queue_id: group["why"] for group in answer["blocked"] for queue_id in group["ids"]}
    assert set(why) == {str(each) for each in refused}
    for queue_id, words in refused.items():
        assert words in why[str(queue_id)]
    assert (answer["wanted"], answer["unknown_ids"]) == (1, [str(unknown_id)])
    results = (await admin.get(f"/admin/queue/replays/{answer['replay']['id']}"))["results"]
    assert [(result["queue_id"], result["result"]) for result in results] == [(str(good), "queued")]
    after = await admin.db.fetch("SELECT * FROM replay_queue WHERE id <> $1 ORDER BY id", good)
    assert [dict(row) for row in after] == [dict(row) for row in before]
    assert "No delivery has any" in (await send(admin, BULK, {"ids": [str(unknown_id)]}, 409))["detail"]


async def test_a_preview_changes_nothing_and_its_count_guards_the_replay(admin: Admin) -> None:
    for _ in range(3):
        await admin.add_queue_row(**DEAD)
    await admin.add_queue_row(**DEAD, payload=None)
    await admin.add_queue_row()
    order = {"state": "dead", "kind": "welcome"}
    preview = await send(admin, BULK, order | {"per_second": 2}, 200, dry_run=True)
    assert (preview["wanted"], preview["seconds"], preview["replay"]) == (3, 2, None)
    assert [group["rows"] for group in preview["groups"]] == [3]
    assert [(group["rows"], group["why"]) for group in preview["blocked"]] == [
        (1, "Its content is missing, so there is nothing to send.")
    ]
    assert (await admin.get("/admin/queue/replays"))["replays"] == []
    await admin.add_queue_row(**DEAD)
    problem = await send(admin, BULK, order, 409, expected=preview["wanted"])
    assert problem["detail"] == "4 rows match now, not 3. Check the preview."
    assert await admin.db.fetchval("SELECT count(*) FROM queue_replay_item") == 0
    answer = await send(admin, BULK, order | {"comment": "server repaired"}, 202, expected=4)
    assert answer["replay"] | {"id": "", "created_at": ""} == {
        "id": "",
        "state": "running",
        "requested_by": "ann",
        "comment": "server repaired",
        "filter": order,
        "per_second": 25,
        "wanted": 4,
        "taken": 0,
        "created_at": "",
        "finished_at": None,
        "cancelled_at": None,
        "cancelled_by": None,
    }
    # Nothing has changed yet: the flusher sends the rows one by one.
    assert await states(admin) == {"dead": 5, "waiting": 1}
    (entry,) = (await admin.get("/admin/audit", event="queue.replayed"))["entries"]
    assert entry["actor"] == "ann"
    assert entry["details_json"] == {
        "replay_id": answer["replay"]["id"],
        "comment": "server repaired",
        "filter": order,
        "per_second": 25,
        "wanted": 4,
        "taken": 0,
    }


async def test_a_cancelled_replay_leaves_unsent_rows_unchanged(admin: Admin) -> None:
    for _ in range(3):
        await admin.add_queue_row(**DEAD)
    before = await admin.db.fetch("SELECT * FROM replay_queue ORDER BY id")
    begun = (await send(admin, BULK, {"state": "dead"}, 202))["replay"]
    path = f"/admin/queue/replays/{begun['id']}"
    answer = await admin.request("DELETE", path)
    assert (answer["cancelled"], answer["replay"]["state"]) == (3, "cancelled")
    assert answer["replay"]["cancelled_by"] == "ann"
    detail = await admin.get(path)
    assert (detail["outcomes"]["cancelled"], detail["outcomes"]["queued"]) == (3, 0)
    assert {result["result"] for result in detail["results"]} == {"cancelled"}
    after = await admin.db.fetch("SELECT * FROM replay_queue ORDER BY id")
    assert [dict(row) for row in after] == [dict(row) for row in before]
    problem = await admin.request("DELETE", path, 409)
    assert problem["detail"] == "The replay is cancelled: there is nothing left to cancel."
    await admin.request("DELETE", f"/admin/queue/replays/{uuid4()}", 404)
    await admin.get(f"/admin/queue/replays/{uuid4()}", 404)
    (entry,) = (await admin.get("/admin/audit", event="queue.replay_cancelled"))["entries"]
    assert (entry["actor"], entry["details_json"]["replay_id"]) == ("ann", begun["id"])


async def test_history_and_results_are_paged(admin: Admin) -> None:
    for _ in range(5):
        await admin.add_queue_row(**DEAD)
    begun = [(await send(admin, BULK, {"state": "dead"}, 202))["replay"]["id"] for _ in range(3)]
    first = await admin.get("/admin/queue/replays", limit=2)
    second = await admin.get("/admin/queue/replays", limit=2, cursor=first["next_cursor"])
    shown = [replay["id"] for replay in first["replays"] + second["replays"]]
    assert (shown, second["next_cursor"]) == (begun[::-1], None)
    await admin.get("/admin/queue/replays", 422, cursor="nonsense")
    path = f"/admin/queue/replays/{begun[0]}"
    one = await admin.get(path, limit=3)
    two = await admin.get(path, limit=3, cursor=one["next_cursor"])
    ids = [result["queue_id"] for result in one["results"] + two["results"]]
    assert (len(ids), ids, two["next_cursor"]) == (5, sorted(set(ids)), None)
    assert (await admin.get(path, result="failed"))["results"] == []


@pytest.mark.parametrize(
    ("body", "params", "field"),
    [
        ({"stat": "dead"}, {}, "body"),
        ({"state": "resolved"}, {}, "state"),
        ({"per_second": 101}, {}, "per_second"),
        ({"ids": []}, {}, "ids"),
        ({"reason": "a\x00b"}, {}, "reason"),
        ({"dry_run": True}, {}, "body"),  # otherwise a preview would be a replay
        ({}, {"dryrun": True}, "query"),
        ({}, {"expected": -1}, "expected"),
    ],
)
async def test_an_invalid_order_replays_nothing(
    admin: Admin, body: Any, params: dict[str, Any], field: str
) -> None:
    await admin.add_queue_row(**DEAD)
    problem = await send(admin, BULK, body, 422, **params)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await admin.db.fetchval("SELECT count(*) FROM queue_replay") == 0


async def test_an_order_without_a_json_body_is_refused(admin: Admin) -> None:
    assert (await admin.request("POST", BULK, 422))["detail"] == "body Field required"
    answer = await admin.client.post(BULK, content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "body must be JSON")
