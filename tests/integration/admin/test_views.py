"""Saved views through the API: whose they are, limits, counts, audit, and the plans of their queries."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest

from contracts.leads import LeadStatus
from services.admin.rules.view_rules import VIEWS_MAX
from services.admin.schemas.lead_conditions import LeadConditions
from services.admin.store import views
from services.admin.store.leads import search
from services.admin.store.views import Views
from tests.support.services.admin import TOKEN, Admin

BOB = {"Authorization": f"Bearer bob-{TOKEN}"}
WON = {"status": ["won"]}


async def save(admin: Admin, name: str, status: int = 201, /, **fields: Any) -> Any:
    """Save a view, as ann or as whose token `headers` has, and return the response's JSON."""
    headers = fields.pop("headers", None)
    body = {"name": name, "conditions": WON} | fields
    response = await admin.client.post("/admin/views", json=body, headers=headers)
    assert response.status_code == status, response.text
    return response.json()


async def names(admin: Admin, headers: dict[str, str] | None = None) -> list[str]:
    response = await admin.client.get("/admin/views", headers=headers)
    return [view["name"] for view in response.json()["views"]]


async def change(admin: Admin, method: str, view: Any, **options: Any) -> httpx.Response:
    return await admin.client.request(method, f"/admin/views/{view['id']}", **options)


async def test_a_view_is_saved_counted_edited_deleted_and_audited(admin: Admin) -> None:
    for _ in range(3):
        await admin.add_lead("won", email="x@example.com")
    await admin.add_lead("lost")
    conditions = {"status": ["won", "lost"], "received": "last_7_days", "sort": "name"}
    view = await save(admin, "Closed", conditions=conditions)
    assert (view["author"], view["shared"]) == ("ann", False)
    assert {name: value for name, value in view["conditions"].items() if value} == conditions
    (listed,) = (await admin.get("/admin/views", zone="Asia/Kolkata"))["views"]
    assert {**view, "total": listed["total"], "total_is_capped": False} == listed
    renamed = (await change(admin, "PATCH", view, json={"name": "Done"})).json()
    assert (renamed["name"], renamed["conditions"]) == ("Done", view["conditions"])
    edited = (await change(admin, "PATCH", view, json={"conditions": WON})).json()
    assert {name: value for name, value in edited["conditions"].items() if value} == WON
    assert (edited["name"], edited["created_at"]) == ("Done", view["created_at"])
    assert edited["updated_at"] > view["updated_at"]
    assert (await change(admin, "PATCH", view, json={"name": "Done", "conditions": WON})).json() == edited
    assert (await change(admin, "DELETE", view)).status_code == 204
    for method, options in (("DELETE", {}), ("PATCH", {"json": {"name": "x"}})):
        response = await change(admin, method, view, **options)
        assert response.status_code == 404
        assert "may have been deleted" in response.json()["detail"]
    rows = await admin.db.fetch(
        "SELECT event, actor, details_json::text AS details FROM audit_log ORDER BY id"
    )
    assert [(row["event"], row["actor"]) for row in rows] == [
        ("view.saved", "ann"),
        ("view.renamed", "ann"),
        ("view.edited", "ann"),
        ("view.deleted", "ann"),
    ]
    assert not [row for row in rows if "Closed" in row["details"] or "Done" in row["details"]]


async def test_counts_are_those_of_the_list_and_stop_at_the_bound(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "COUNT_UP_TO", 3)
    for number in range(5):
        lead = await admin.add_lead("won" if number else "received", occurred_at=datetime.now(UTC))
        if number == 1:
            await admin.edit_lead(lead.lead_id, assignee="ann")
    await save(admin, "a", conditions={"status": ["received"], "received": "last_7_days"})
    await save(admin, "b", conditions={"assignee": "@me"})
    await save(admin, "c", conditions=WON)
    await save(admin, "d", conditions={"status": ["spam", "lost"]})
    listed = (await admin.get("/admin/views"))["views"]
    counts = {view["name"]: (view["total"], view["total_is_capped"]) for view in listed}
    assert counts == {"a": (1, False), "b": (1, False), "c": (3, True), "d": (0, False)}


async def test_own_views_are_private_and_the_team_s_are_everybody_s(admin: Admin) -> None:
    own = await save(admin, "Mine")
    team = await save(admin, "Ours", shared=True)
    await save(admin, "mine", headers=BOB)
    assert await names(admin) == ["Mine", "Ours"]
    assert await names(admin, BOB) == ["mine", "Ours"]
    for view, status in ((own, 404), (team, 403)):
        for method, body in (("DELETE", None), ("PATCH", {"name": "x"}), ("PATCH", {"conditions": WON})):
            response = await change(admin, method, view, headers=BOB, json=body)
            assert response.status_code == status, response.text
    assert "Only ann or admin" in response.json()["detail"]
    store: Views = admin.app.state.adapters.views
    assert [view.name for view in await store.list_views("admin")] == ["Ours"]
    await store.delete(UUID(team["id"]), "admin")
    assert await names(admin) == ["Mine"]


async def test_names_are_unique_and_their_number_is_limited(admin: Admin) -> None:
    view = await save(admin, "Won <b>\u202eleads</b>")
    await save(admin, view["name"].upper(), 409)
    other = await save(admin, "Other")
    assert (await change(admin, "PATCH", other, json={"name": view["name"]})).status_code == 409
    same = await change(admin, "PATCH", other, json={"name": "OTHER"})
    assert same.json()["name"] == "OTHER", "its own name in other letters"
    for number in range(VIEWS_MAX - 3):
        await save(admin, str(number))
    # Two windows save the last one at the same time.
    answers = await asyncio.gather(*(save_any(admin, f"last {number}") for number in range(3)))
    assert sorted(answers) == [201, 409, 409]
    assert len(await names(admin)) == VIEWS_MAX
    await save(admin, "The team has room", shared=True)


async def save_any(admin: Admin, name: str) -> int:
    response = await admin.client.post("/admin/views", json={"name": name, "conditions": WON})
    return response.status_code


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x" * 61},
        {"name": " "},
        {"conditions": {}},
        {"conditions": {"q": "ada@example.com"} | WON},
        {"conditions": {"status": ["nonsense"]}},
        {"conditions": {"service": "x" * 256}},
        {"conditions": {"received": "tomorrow"}},
        {"author": "bob"},
    ],
)
async def test_invalid_views_are_refused(admin: Admin, body: dict[str, Any]) -> None:
    await save(admin, body.pop("name", "Fine"), 422, **body)
    assert await names(admin) == []


@pytest.mark.parametrize("body", [{}, {"name": None}, {"name": ""}, {"conditions": {}}, {"shared": True}])
async def test_invalid_edits_are_refused_and_change_nothing(admin: Admin, body: dict[str, Any]) -> None:
    view = await save(admin, "Fine")
    assert (await change(admin, "PATCH", view, json=body)).status_code == 422
    (listed,) = (await admin.get("/admin/views"))["views"]
    assert listed["updated_at"] == view["updated_at"]


async def test_the_largest_view_is_stored_and_one_of_a_newer_version_left_out(admin: Admin) -> None:
    text = "\N{SMILING FACE WITH OPEN MOUTH}" * 255
    fields = ("service", "site", "source", "first_source", "campaign", "landing_page", "assignee")
    largest = dict.fromkeys(fields, text) | {"status": list(LeadStatus)}
    await save(admin, "Large", conditions=largest)
    await admin.db.execute(
        "INSERT INTO lead_view (id, author, shared, name, conditions)"
        " VALUES (gen_random_uuid(), 'ann', true, 'Newer', '{\"status\": [\"from_the_future\"]}')"
    )
    assert await names(admin) == ["Large"]


async def test_the_database_refuses_unbounded_names_and_conditions(admin: Admin) -> None:
    insert = (
        "INSERT INTO lead_view (id, author, shared, name, conditions) VALUES (gen_random_uuid(), 'x', 't',"
    )
    for values in ("repeat('x', 61), '{}')", "'x', jsonb_build_object('a', repeat('x', 9000)))"):
        with pytest.raises(asyncpg.CheckViolationError):
            await admin.db.execute(insert + values)


async def test_counts_read_an_index_of_many_leads(admin: Admin) -> None:
    start = datetime.now(UTC) - timedelta(days=30)
    await admin.db.execute(
        """
        INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256,
                                assignee, created_at_utc)
        SELECT gen_random_uuid(), 'r', 'site ' || n % 50, 'x@example.com', 'service ' || n % 100,
               CASE WHEN n % 200 = 0 THEN 'spam' WHEN n % 3 = 0 THEN 'contacted' ELSE 'won' END, 'n', '',
               repeat('0', 64), CASE WHEN n % 20 = 0 THEN 'ann' END, $1::timestamptz + n * interval '1 minute'
        FROM generate_series(1, 30000) AS n
        """,
        start,
    )
    await admin.db.execute("ANALYZE lead_inbox")
    sql: Any = search._SQL
    parameters = sql.driver_adapter.var_sorted["count_newest"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"status": ["spam"]}, "lead_inbox_status"),
        ({"status": ["spam", "held"]}, "lead_inbox_status"),
        ({"assignee": "@me"}, "lead_inbox_assignee"),
        ({"site": "site 7"}, "lead_inbox_site"),
        ({"service": "service 7"}, "lead_inbox_service"),
        ({"received": "today"}, "lead_inbox_created"),
        ({"status": ["received"], "assignee": "@nobody"}, "lead_inbox_status"),
    ]
    for conditions, index in cases:
        chosen = LeadConditions.model_validate(conditions).to_filter(ZoneInfo("UTC"), "ann").selection()
        values = [(chosen | {"bound": views.COUNT_UP_TO + 1}).get(name) for name in parameters]
        async with admin.db.transaction():
            await admin.db.execute(
                "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL random_page_cost = 1.1"
            )
            rows = await admin.db.fetch("EXPLAIN " + sql.count_newest.sql, *values)
        plan = "\n".join(row[0] for row in rows)
        assert index in plan, f"{conditions}:\n{plan}"
        assert "Seq Scan" not in plan, f"{conditions}:\n{plan}"
