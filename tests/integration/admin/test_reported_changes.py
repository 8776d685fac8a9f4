"""Each way in which an admin changes a lead writes its events, on a real PostgreSQL."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from services.admin.monitoring.metrics_poller import update_outbox
from tests.support.services.admin import Admin
from tests.support.services.outbox import outbox
from tests.support.wait import eventually

Status = tuple[str | None, str | None]
Change = Callable[[Admin, Any], Awaitable[Any]]


async def _bulk(admin: Admin, lead: Any, **order: str) -> None:
    answer = await admin.client.post("/admin/bulk", json={**order, "ids": [str(lead.lead_id)]})
    assert answer.status_code == 202, answer.text
    await eventually(
        lambda: admin.get(f"/admin/bulk/{answer.json()['bulk']['id']}"),
        until=lambda detail: detail["bulk"]["state"] == "finished",
    )


async def _edit(admin: Admin, lead: Any) -> None:
    await admin.edit_lead(lead.lead_id, email="new@example.com", assignee="bob", notes="not sent")


async def _set_status(admin: Admin, lead: Any) -> None:
    await admin.request("PATCH", f"/admin/leads/{lead.lead_id}/status", new_status="received")
    await admin.request("PATCH", f"/admin/leads/{lead.lead_id}/status", new_status="won")


async def _decide(admin: Admin, lead: Any) -> None:
    body = {"site": lead.site, "new_status": "received"}
    body["until"] = (await admin.get("/admin/held"))[0]["newest_at"]
    assert (await admin.client.post("/admin/held/decide", json=body)).status_code == 200


async def _bulk_status(admin: Admin, lead: Any) -> None:
    await _bulk(admin, lead, action="status", new_status="contacted")


async def _bulk_assign(admin: Admin, lead: Any) -> None:
    await _bulk(admin, lead, action="assign", assignee="bob")


async def _erase(admin: Admin, lead: Any) -> None:
    await admin.request("DELETE", f"/admin/leads/{lead.lead_id}")


@pytest.mark.parametrize(
    ("first", "change", "fields", "statuses"),
    [
        ("received", _edit, [["email", "assignee"]], []),
        ("received", _set_status, [], [("received", "won")]),
        ("spam", _set_status, [], [("spam", "received"), ("received", "won")]),
        ("held", _decide, [], [("held", "received")]),
        ("received", _bulk_status, [], [("received", "contacted")]),
        ("received", _bulk_assign, [["assignee"]], []),
        ("received", _erase, [], []),
    ],
    ids=["edit", "status", "release", "held", "bulk status", "bulk assign", "erase"],
)
async def test_each_way_to_change_a_lead_is_reported(
    admin: Admin, first: str, change: Change, fields: list[list[str]], statuses: list[Status]
) -> None:
    lead = await admin.add_lead(first)
    await change(admin, lead)
    rows = await outbox(admin.db)
    assert {row["lead_id"] for row in rows} <= {lead.lead_id}
    assert [row["changed"] for row in rows if row["type"] == "lead.updated"] == fields
    changed = [(row["from_status"], row["to_status"]) for row in rows if row["type"] == "lead.status_changed"]
    assert changed == statuses
    assert len(rows) == len(fields) + len(statuses)


async def test_the_gauges_show_what_waits(admin: Admin, postgres: Postgres) -> None:
    def shown() -> tuple[float | None, float | None]:
        rows = REGISTRY.get_sample_value("fastcore_outbox_rows")
        return rows, REGISTRY.get_sample_value("fastcore_outbox_oldest_seconds")

    async with open_pool(postgres, "test") as pool:
        await update_outbox(pool)
        assert shown() == (0, 0)
        lead = await admin.add_lead()
        await admin.edit_lead(lead.lead_id, assignee="bob")
        await admin.edit_lead(lead.lead_id, assignee="ann")
        await update_outbox(pool)
    rows, oldest = shown()
    assert rows == 2
    assert 0 < (oldest or 0) < 60
