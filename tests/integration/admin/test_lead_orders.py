"""The orders of the list of leads: each page begins after the last lead of the page before."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from services.admin.schemas.filters import LeadOrder
from services.admin.store.leads import search
from tests.support.services.admin import Admin

START = datetime(2026, 1, 5, tzinfo=UTC)
ORDERS = [order for order in get_args(LeadOrder) if order != "received"]
# Name, status, assignee. Two leads share each value.
LEADS = (
    ("ada", "won", "bob"),
    ("Ada", "lost", None),
    ("Zoë", "won", "ann"),
    (None, "received", "bob"),
    ("grace", "received", None),
    ("Grace", "contacted", "ann"),
    (None, "contacted", "cem"),
)


async def fill(admin: Admin) -> None:
    """Store the leads, one each hour; the first was changed last."""
    for hour, (name, status, assignee) in enumerate(LEADS):
        lead = await admin.add_lead(status, name=name, occurred_at=START + timedelta(hours=hour))
        await admin.db.execute(
            "UPDATE lead_inbox SET assignee = $2, updated_at = $3 WHERE id = $1",
            lead.lead_id,
            assignee,
            START + timedelta(days=9) - timedelta(hours=hour),
        )


async def pages(admin: Admin, order: str, limit: int = 2) -> list[dict[str, Any]]:
    """Return the leads of all pages."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await admin.get("/admin/leads", sort=order, limit=limit, **cursor)
        assert len(page["leads"]) <= limit
        found += page["leads"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("order", ORDERS)
async def test_pages_have_each_lead_once_in_order(admin: Admin, order: str) -> None:
    await fill(admin)
    whole = await pages(admin, order, 100)
    assert [lead["id"] for lead in await pages(admin, order)] == [lead["id"] for lead in whole]
    assert len({lead["id"] for lead in whole}) == len(LEADS)
    column = {"name": "name", "status": "status", "assignee": "assignee"}.get(order.partition("_")[0])
    values = [(lead[column] or "").lower() for lead in whole] if column else []
    # Leads without a value are last, and first in the reverse order.
    keys = [(value == "", value) for value in values]
    assert keys == sorted(keys, reverse=order.endswith("_desc"))
    hours = [LEADS.index((lead["name"], lead["status"], lead["assignee"])) for lead in whole]
    if order in ("oldest", "updated"):
        assert hours == sorted(hours)
    if order == "updated_asc":
        assert hours == sorted(hours, reverse=True)


@pytest.mark.parametrize("order", ORDERS)
async def test_many_leads_are_read_in_order_and_few_are_gathered(
    admin: Admin, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(admin)
    gathered = await pages(admin, order)
    monkeypatch.setattr(search, "ALWAYS_GATHER_UP_TO", 0)
    assert await pages(admin, order) == gathered


async def test_the_order_by_assignee_has_the_newest_lead_of_one_assignee_first(admin: Admin) -> None:
    await fill(admin)
    for params in ({"assignee": "ann"}, {"unassigned": True}):
        ordered = await admin.get("/admin/leads", sort="assignee", **params)
        newest = await admin.get("/admin/leads", **params)
        assert [lead["id"] for lead in ordered["leads"]] == [lead["id"] for lead in newest["leads"]]
        assert len(newest["leads"]) == 2


async def test_a_lead_that_changes_moves_no_other_lead_between_pages(admin: Admin) -> None:
    await fill(admin)
    whole = [lead["id"] for lead in await pages(admin, "status", 100)]
    first = await admin.get("/admin/leads", sort="status", limit=3)
    # The last lead of the page gets a status that comes later, and a new lead comes into the page.
    await admin.request("PATCH", f"/admin/leads/{whole[2]}/status", new_status="won")
    await admin.add_lead("contacted", occurred_at=START + timedelta(days=1))
    second = await admin.get("/admin/leads", sort="status", limit=2, cursor=first["next_cursor"])
    assert [lead["id"] for lead in second["leads"]] == whole[3:5]


async def test_no_cursor_has_a_name(admin: Admin) -> None:
    await fill(admin)
    short = await admin.get("/admin/leads", sort="name", limit=1)
    await admin.db.execute("UPDATE lead_inbox SET name = name || repeat('x', 100) WHERE name IS NOT NULL")
    long = await admin.get("/admin/leads", sort="name", limit=1)
    assert len(long["next_cursor"]) == len(short["next_cursor"])


@pytest.mark.parametrize(
    ("order", "cursor"), [("name", "nonsense"), ("received", "MjAyNiBhIGI"), ("status", "YQ")]
)
async def test_a_cursor_that_no_page_gave_is_refused(admin: Admin, order: str, cursor: str) -> None:
    await admin.get("/admin/leads", 422, sort=order, cursor=cursor)


@pytest.mark.parametrize(
    ("order", "index"),
    [
        ("name", "lead_inbox_by_name"),
        ("name_desc", "lead_inbox_by_name"),
        ("status", "lead_inbox_status"),
        ("status_desc", "lead_inbox_status"),
        ("assignee", "lead_inbox_by_assignee"),
        ("assignee_desc", "lead_inbox_by_assignee"),
        ("updated", "lead_inbox_updated"),
        ("updated_asc", "lead_inbox_updated"),
        ("oldest", "lead_inbox_created"),
    ],
)
async def test_a_deep_page_is_read_from_its_index(admin: Admin, order: str, index: str) -> None:
    await fill(admin)
    await admin.db.execute(
        "SET enable_seqscan = off; SET enable_sort = off; SET plan_cache_mode = force_custom_plan"
    )
    sql: Any = search._SORTED[order]
    names = sql.driver_adapter.var_sorted["list_sorted"]
    given = {"after_at": START, "after_id": "0" * 32, "after_key": "2026-01-01 00:00:00+00", "limit": 3}
    values = [given.get(name) for name in names]
    rows = await admin.db.fetch("EXPLAIN " + sql.list_sorted.sql, *values)
    assert index in "\n".join(row[0] for row in rows)
