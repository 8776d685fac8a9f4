"""The trigger that writes the outbox: each change of a lead, and nothing else."""

from typing import Any

import pytest

from contracts.lead_events import LeadData
from tests.support.factories import lead
from tests.support.services.admin import add_leads
from tests.support.services.outbox import outbox

# What destinations receive of a lead, and an update can change. The others are ids, or derived from them.
CHANGEABLE = set(LeadData.model_fields) - {"id", "reference", "site_name", "received_at", "status"}


async def _updated(db: Any, change: str, status: str = "received") -> list[dict[str, Any]]:
    sent = lead(phone="1", company="c", locale="en")
    await add_leads(db, [sent], status)
    await db.execute(f"UPDATE lead_inbox SET {change} WHERE id = $1", sent.lead_id)
    return [{name: value for name, value in row.items() if name != "lead_id"} for row in await outbox(db)]


@pytest.mark.parametrize("column", sorted(CHANGEABLE))
async def test_each_field_that_destinations_receive_is_reported_by_name(db: Any, column: str) -> None:
    values = {"extra": """'{"a": 1}'""", "source": """'{"utm_campaign": "x"}'""", "consent": "true"}
    rows = await _updated(db, f"{column} = " + values.get(column, "'another'"))
    assert rows == [{"type": "lead.updated", "changed": [column], "from_status": None, "to_status": None}]


async def test_one_update_reports_its_fields_and_then_its_status(db: Any) -> None:
    rows = await _updated(db, "name = 'B', assignee = 'ann', status = 'processing'")
    assert rows == [
        {
            "type": "lead.updated",
            "changed": ["name", "assignee"],
            "from_status": None,
            "to_status": None,
        },
        {
            "type": "lead.status_changed",
            "changed": [],
            "from_status": "received",
            "to_status": "processing",
        },
    ]


@pytest.mark.parametrize("change", ["name = name, updated_at = now()", "notes = 'x'", "original = '{}'"])
async def test_nothing_is_reported_that_destinations_do_not_receive(db: Any, change: str) -> None:
    assert await _updated(db, change) == []


@pytest.mark.parametrize(
    ("before", "after", "reported"),
    [
        ("spam", "held", False),
        ("held", "spam", False),
        ("held", "received", True),
        ("spam", "received", True),
        ("won", "spam", True),
    ],
)
async def test_spam_is_reported_when_it_begins_and_when_it_ends(
    db: Any, before: str, after: str, reported: bool
) -> None:
    rows = await _updated(db, f"status = '{after}'", before)
    assert [(row["from_status"], row["to_status"]) for row in rows] == ([(before, after)] if reported else [])


async def test_an_edit_of_spam_is_not_reported(db: Any) -> None:
    assert await _updated(db, "name = 'B'", "spam") == []


async def test_an_erasure_writes_nothing_and_leaves_no_values(db: Any) -> None:
    sent = lead()
    await add_leads(db, [sent])
    await db.execute("UPDATE lead_inbox SET email = 'secret@example.com' WHERE id = $1", sent.lead_id)
    before = await outbox(db)
    assert await db.fetchval("SELECT erase_lead($1, 'ann')", sent.lead_id)
    assert await outbox(db) == before
    assert await db.fetchval("SELECT count(*) FROM lead_event_outbox AS o WHERE o::text LIKE '%secret%'") == 0


async def test_a_change_that_is_rolled_back_is_not_reported(db: Any) -> None:
    sent = lead()
    await add_leads(db, [sent])
    transaction = db.transaction()
    await transaction.start()
    await db.execute("UPDATE lead_inbox SET status = 'won'")
    assert len(await outbox(db)) == 1
    await transaction.rollback()
    assert await outbox(db) == []
