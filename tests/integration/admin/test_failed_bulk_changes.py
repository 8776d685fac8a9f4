"""Bulk changes that fail for some leads: bounded attempts, a reason for each, and no other action waits."""

from typing import Any

import pytest

from services.admin.store.bulk import bulk_worker
from tests.support.services.admin import Admin
from tests.support.wait import eventually

BAD = "Bad"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_worker, "CHUNK", 4)
    monkeypatch.setattr(bulk_worker, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(bulk_worker, "ERROR_SECONDS", 0.3)


async def refuse_changes(db: Any, sqlstate: str) -> None:
    """Let the database refuse each change of a lead with the name `BAD`."""
    await db.execute(
        f"""
        CREATE FUNCTION refuse_bad() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{sqlstate}'; END $$;
        CREATE TRIGGER refuse_bad BEFORE UPDATE ON lead_inbox FOR EACH ROW
        WHEN (OLD.name = '{BAD}') EXECUTE FUNCTION refuse_bad();
        """
    )


async def start(admin: Admin, **order: Any) -> str:
    answer = await admin.client.post("/admin/bulk", json=order)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["bulk"]["id"])


async def finished(admin: Admin, bulk_id: str) -> Any:
    return await eventually(
        lambda: admin.get(f"/admin/bulk/{bulk_id}"),
        until=lambda detail: detail["bulk"]["state"] == "finished",
        what="the end of the action",
    )


async def is_finished(admin: Admin, bulk_id: str) -> bool:
    return bool((await admin.get(f"/admin/bulk/{bulk_id}"))["bulk"]["state"] == "finished")


async def failed(admin: Admin, bulk_id: str) -> list[tuple[Any, ...]]:
    items = (await admin.get(f"/admin/bulk/{bulk_id}", result="failed"))["items"]
    return [(each["name"], each["result"], each["reason"]) for each in items]


async def test_a_lead_that_the_database_refuses_fails_alone_and_last(admin: Admin, db: Any) -> None:
    await refuse_changes(db, "P0001")
    for number in range(9):
        await admin.add_lead(name=BAD if number == 5 else f"Ada {number}")
    other = await admin.add_lead("won", name="Other")
    blocked = await start(admin, action="status", new_status="lost", filter={"status_filter": "received"})
    newer = await start(admin, action="assign", assignee="bob", ids=[str(other.lead_id)])
    await finished(admin, newer)
    assert not await is_finished(admin, blocked)
    assert (await finished(admin, blocked))["results"] == {"changed": 8, "failed": 1}
    assert await failed(admin, blocked) == [(BAD, "failed", "database answered P0001")]
    entries = "SELECT count(*) FROM audit_log WHERE event = 'lead.status_changed'"
    assert await admin.db.fetchval(entries) == 8


@pytest.mark.parametrize("action", ["assign", "erase"])
async def test_an_action_that_fails_for_all_leads_ends(admin: Admin, db: Any, action: str) -> None:
    await refuse_changes(db, "23514")
    for _ in range(13):
        await admin.add_lead(name=BAD)
    value = {"assignee": "bob"} if action == "assign" else {}
    bulk_id = await start(admin, action=action, filter={}, **value)
    assert (await finished(admin, bulk_id))["results"] == {"failed": 13}
    assert set(await failed(admin, bulk_id)) == {(BAD, "failed", "database refused the data (23514)")}
    row = await admin.db.fetchrow("SELECT failures, retry_at FROM bulk_change")
    assert tuple(row or ()) == (bulk_worker.ATTEMPTS - 1, None)


async def test_a_bug_fails_only_the_lead_at_which_it_shows(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_unchanged(_action: str, _value: str | None, _status: str, assignee: str | None) -> bool:
        return {"anna": False, None: False}[assignee]

    monkeypatch.setattr(bulk_worker, "is_unchanged", is_unchanged)
    for number in range(6):
        await admin.add_lead(name=f"Ada {number}")
    await admin.db.execute("UPDATE lead_inbox SET assignee = 'eve' WHERE name = 'Ada 3'")
    bulk_id = await start(admin, action="assign", assignee="bob", filter={})
    assert (await finished(admin, bulk_id))["results"] == {"changed": 5, "failed": 1}
    assert await failed(admin, bulk_id) == [("Ada 3", "failed", "bug: KeyError")]
    # Each attempt of the chunk, and not that of the lead by itself.
    assert sum(each.exc_info is not None for each in caplog.records) == bulk_worker.ATTEMPTS


async def test_what_is_no_fault_of_a_lead_waits_for_the_newer_actions(admin: Admin, db: Any) -> None:
    await refuse_changes(db, "55P03")  # the lead is locked
    lead, other = await admin.add_lead(name=BAD), await admin.add_lead()
    waiting = await start(admin, action="assign", assignee="bob", ids=[str(lead.lead_id)])
    await eventually(lambda: admin.db.fetchval("SELECT retry_at IS NOT NULL FROM bulk_change"), until=bool)
    await finished(admin, await start(admin, action="assign", assignee="bob", ids=[str(other.lead_id)]))
    await finished(admin, await start(admin, action="assign", assignee="eve", ids=[str(other.lead_id)]))
    assert not await is_finished(admin, waiting)
    assert await admin.db.fetchval("SELECT max(failures) FROM bulk_change") == 0
    await db.execute("DROP TRIGGER refuse_bad ON lead_inbox")
    assert (await finished(admin, waiting))["results"] == {"changed": 1}


@pytest.mark.parametrize("sqlstate", ["42501", "P0001"])
async def test_a_database_that_refuses_every_lead_fails_none(admin: Admin, db: Any, sqlstate: str) -> None:
    await refuse_changes(db, sqlstate)
    for _ in range(6):
        await admin.add_lead(name=BAD)
    other = await admin.add_lead("won")
    waiting = await start(admin, action="assign", assignee="bob", filter={"status_filter": "received"})
    tried = "SELECT failures > $1 FROM bulk_change"
    await eventually(lambda: admin.db.fetchval(tried, bulk_worker.ATTEMPTS), until=bool)
    await finished(admin, await start(admin, action="assign", assignee="bob", ids=[str(other.lead_id)]))
    detail = await admin.get(f"/admin/bulk/{waiting}")
    assert (detail["results"], detail["bulk"]["done"]) == ({}, 0)
    assert detail["bulk"]["retry_reason"] == f"database answered {sqlstate}"
    assert detail["bulk"]["retry_at"]
    await db.execute("DROP TRIGGER refuse_bad ON lead_inbox")
    await admin.db.execute("UPDATE bulk_change SET retry_at = now()")
    detail = await finished(admin, waiting)
    assert (detail["results"], detail["bulk"]["retry_reason"]) == ({"changed": 6}, None)


async def test_a_locked_lead_does_not_hold_up_the_other_actions(
    admin: Admin, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_worker, "ERROR_SECONDS", 60.0)
    monkeypatch.setattr(bulk_worker, "LOCK_TIMEOUT", "100ms")
    lead, other = await admin.add_lead(name=BAD), await admin.add_lead()
    async with db.transaction():
        await db.execute("SELECT FROM lead_inbox WHERE id = $1 FOR UPDATE", lead.lead_id)
        waiting = await start(admin, action="assign", assignee="bob", ids=[str(lead.lead_id)])
        # Below the timeout of a statement (20 s), after which the database counts as unavailable.
        retry_at = "SELECT retry_at IS NOT NULL FROM bulk_change"
        await eventually(lambda: admin.db.fetchval(retry_at), until=bool, seconds=5)
        await finished(admin, await start(admin, action="assign", assignee="bob", ids=[str(other.lead_id)]))
        detail = await admin.get(f"/admin/bulk/{waiting}")
        assert detail["bulk"]["retry_reason"] == "database answered 55P03"
