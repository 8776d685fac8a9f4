"""One action on many leads, on a real PostgreSQL: preview, progress, results, cancellation and crashes."""

import asyncio
from typing import Any

import pytest

from runtime.sites.model import Sites
from services.admin.store.bulk import bulk_worker
from tests.support.services.admin import Admin
from tests.support.wait import eventually


async def send(admin: Admin, status: int = 202, /, dry_run: bool = False, **body: Any) -> Any:
    expected = {"expected": body.pop("expected")} if "expected" in body else {}
    params = {"dry_run": "true"} if dry_run else expected
    answer = await admin.client.post("/admin/bulk", json=body, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def finished(admin: Admin, bulk_id: str) -> Any:
    return await eventually(
        lambda: admin.get(f"/admin/bulk/{bulk_id}"),
        until=lambda detail: detail["bulk"]["state"] == "finished",
        what="the end of the action",
    )


async def events(admin: Admin, event: str) -> list[Any]:
    return list(
        await admin.db.fetch("SELECT lead_id, actor, details_json FROM audit_log WHERE event = $1", event)
    )


async def test_a_status_is_set_on_all_leads_that_match_with_one_entry_each(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_worker, "CHUNK", 4)
    for number in range(10):
        await admin.add_lead(service="SEO", name=f"Ada {number}")
    await admin.add_lead("won", service="SEO")
    await admin.add_lead("spam", service="SEO")
    await admin.add_lead(service="Other")
    order: dict[str, Any] = {"action": "status", "new_status": "won", "filter": {"service": "SEO"}}
    preview = await send(admin, 200, dry_run=True, **order)
    assert (preview["leads"], preview["emails"], preview["bulk"]) == (12, 0, None)
    assert (preview["changing"], preview["unchanged"]) == (10, 1)
    assert preview["message"] == "10 of 12 leads can be changed."
    assert [(group["status"], group["leads"]) for group in preview["refused"]] == [("spam", 1)]
    await send(admin, 409, expected=11, **order)
    for statuses in ("spam", ["spam", "lost"]):  # one status, or a list
        narrow = order | {"filter": {"service": "SEO", "status_filter": statuses}}
        assert (await send(admin, 200, dry_run=True, **narrow))["leads"] == 1
    started = await send(admin, expected=12, **order)
    detail = await finished(admin, started["bulk"]["id"])
    assert detail["results"] == {"changed": 10, "unchanged": 1, "refused": 1}
    assert (detail["bulk"]["done"], detail["bulk"]["total"], detail["bulk"]["actor"]) == (12, 12, "ann")
    found = await admin.db.fetch("SELECT status, count(*) AS n FROM lead_inbox GROUP BY 1")
    assert {row["status"]: row["n"] for row in found} == {"won": 11, "spam": 1, "received": 1}
    entries = await events(admin, "lead.status_changed")
    assert len({entry["lead_id"] for entry in entries}) == len(entries) == 10
    assert f'"bulk_id": "{started["bulk"]["id"]}"' in entries[0]["details_json"]
    refused = await admin.get(f"/admin/bulk/{started['bulk']['id']}", result="refused")
    assert [item["reason"] for item in refused["items"]] == [
        "Release the lead from spam first: change its status to New."
    ]


@pytest.mark.parametrize(
    ("action", "counts"), [("assign", (4, 2, 1)), ("unassign", (4, 2, 2)), ("erase", (4, 3, 1))]
)
async def test_a_preview_counts_the_leads_that_will_change(
    admin: Admin, action: str, counts: tuple[int, int, int]
) -> None:
    await admin.add_lead("erased", service="SEO")
    for assignee in ("bob", "ann", None):
        lead = await admin.add_lead(service="SEO")
        await admin.db.execute("UPDATE lead_inbox SET assignee = $2 WHERE id = $1", lead.lead_id, assignee)
    order = {
        "assign": {"action": "assign", "assignee": "bob"},
        "unassign": {"action": "assign"},
        "erase": {"action": "erase"},
    }[action]
    preview = await send(admin, 200, dry_run=True, **order, filter={"service": "SEO"})
    assert (preview["leads"], preview["changing"], preview["unchanged"]) == counts
    refused = counts[0] - counts[1] - counts[2]
    assert sum(group["leads"] for group in preview["refused"]) == refused


async def test_selected_leads_are_assigned_and_an_unknown_id_is_left_out(admin: Admin) -> None:
    one, two = await admin.add_lead(), await admin.add_lead("erased")
    ids = [str(one.lead_id), str(two.lead_id), "00000000-0000-0000-0000-000000000000"]
    started = await send(admin, action="assign", assignee="bob", ids=ids)
    detail = await finished(admin, started["bulk"]["id"])
    assert detail["results"] == {"changed": 1, "refused": 1}
    assert await admin.db.fetchval("SELECT assignee FROM lead_inbox WHERE id = $1", one.lead_id) == "bob"
    (entry,) = await events(admin, "lead.edited")
    assert (entry["actor"], entry["lead_id"]) == ("ann", one.lead_id)
    history = await admin.get("/admin/bulk")
    assert [(each["action"], each["value"]) for each in history["bulks"]] == [("assign", "bob")]


async def test_spam_released_in_bulk_gets_its_emails(admin: Admin) -> None:
    leads = [await admin.add_lead("spam") for _ in range(3)]
    ids = [str(lead.lead_id) for lead in leads]
    order: dict[str, Any] = {"action": "status", "new_status": "received", "ids": ids}
    assert (await send(admin, 200, dry_run=True, **order))["emails"] == 6
    started = await send(admin, **order)
    await finished(admin, started["bulk"]["id"])
    assert await admin.db.fetchval("SELECT count(*) FROM replay_queue WHERE requested_by = 'ann'") == 6


async def test_leads_are_erased_in_bulk(admin: Admin) -> None:
    leads = [await admin.add_lead() for _ in range(12)]
    kept = await admin.add_lead()
    started = await send(admin, action="erase", ids=[str(lead.lead_id) for lead in leads])
    assert (await finished(admin, started["bulk"]["id"]))["results"] == {"changed": 12}
    assert await admin.db.fetchval("SELECT count(*) FROM lead_inbox WHERE status = 'erased'") == 12
    assert await admin.db.fetchval("SELECT email FROM lead_inbox WHERE id = $1", kept.lead_id) == kept.email


async def test_a_cancelled_action_leaves_the_other_leads(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_worker, "CHUNK", 1)
    monkeypatch.setattr(bulk_worker, "POLL_SECONDS", 0.01)
    for _ in range(300):
        await admin.add_lead()
    started = await send(admin, action="status", new_status="lost", filter={})
    path = f"/admin/bulk/{started['bulk']['id']}"
    await eventually(lambda: admin.get(path), until=lambda detail: detail["bulk"]["done"] >= 3)
    cancelled = await admin.request("DELETE", path)
    assert (cancelled["state"], cancelled["done"] < 300) == ("cancelled", True)
    await asyncio.sleep(0.3)
    lost = await admin.db.fetchval("SELECT count(*) FROM lead_inbox WHERE status = 'lost'")
    assert lost == (await admin.get(path))["bulk"]["done"] == cancelled["done"]
    await admin.request("DELETE", path, 409)
    assert [len(await events(admin, f"bulk.{word}")) for word in ("started", "cancelled")] == [1, 1]


async def test_two_processes_and_a_crash_change_each_lead_once(admin: Admin, monkeypatch: Any) -> None:
    monkeypatch.setattr(bulk_worker, "CHUNK", 5)
    pool = admin.app.state.adapters.bulk._pool
    for _ in range(60):
        await admin.add_lead()
    started = await send(admin, action="status", new_status="lost", filter={})
    workers = [
        asyncio.create_task(bulk_worker.run_bulk_changes(pool, Sites, asyncio.Event())) for _ in range(3)
    ]
    for worker in workers[:2]:
        await asyncio.sleep(0.02)
        worker.cancel()  # in the middle of a chunk
    try:
        detail = await finished(admin, started["bulk"]["id"])
    finally:
        workers[2].cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert detail["results"] == {"changed": 60}
    assert len(await events(admin, "lead.status_changed")) == 60


async def test_a_start_does_not_wait_for_the_next_idle_poll(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_worker, "IDLE_POLL_SECONDS", 3600.0)
    for _ in range(2):  # the second one starts while the worker waits for its next poll
        await admin.add_lead()
        started = await send(admin, action="status", new_status="processing", filter={})
        await finished(admin, started["bulk"]["id"])
        await admin.db.execute("UPDATE lead_inbox SET status = 'received'")
    assert len(await events(admin, "bulk.started")) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"action": "status", "ids": ["00000000-0000-0000-0000-000000000000"]},
        {"action": "status", "new_status": "held", "filter": {}},
        {"action": "assign", "new_status": "won", "filter": {}},
        {"action": "erase"},
        {"action": "erase", "filter": {}, "ids": ["00000000-0000-0000-0000-000000000000"]},
        {"action": "erase", "filter": {"limit": 5}},
    ],
)
async def test_an_incomplete_order_is_refused(admin: Admin, body: dict[str, Any]) -> None:
    await send(admin, 422, **body)


async def test_an_action_that_matches_nothing_is_refused(admin: Admin) -> None:
    await send(admin, 409, action="erase", filter={"service": "Nothing"})


@pytest.mark.parametrize("cursor", ["-1", str(2**31)])
async def test_regression_a_cursor_out_of_range_is_refused(admin: Admin, cursor: str) -> None:
    answer = await admin.client.get(
        "/admin/bulk/00000000-0000-0000-0000-000000000000", params={"cursor": cursor}
    )
    assert answer.status_code == 422
