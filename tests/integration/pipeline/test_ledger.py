"""`make ledger` with a real broker and database: it names what is missing from the tables."""

from typing import Any

import asyncpg
import pytest
from rich.console import Console

from contracts.leads import LeadReceived
from deploy.cli.ledger import compare_all
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.services.persister import count_records, persister
from tests.support.stack import Database
from tests.support.wait import eventually


@pytest.fixture
async def leads(kafka: Kafka, postgres: Postgres, database: Database) -> list[LeadReceived]:
    """Thirty leads that are stored and marked as mailed."""
    sent = [lead() for _ in range(30)]
    db: Any = await asyncpg.connect(database.owner)
    async with persister(kafka, postgres):
        await post(kafka, *sent)
        await eventually(lambda: count_records(db), until=lambda n: n == 30)
    await db.close()
    return sent


async def test_stored_leads_and_failures_are_found(
    kafka: Kafka, postgres: Postgres, leads: list[LeadReceived]
) -> None:
    console = Console(record=True, width=120)
    await compare_all(kafka, postgres, console)
    said = console.export_text()
    assert "persister: leads" in said
    assert "missing:" not in said


async def test_lead_missing_from_inbox_is_named(
    kafka: Kafka, postgres: Postgres, leads: list[LeadReceived], database: Database
) -> None:
    connection = await asyncpg.connect(database.owner)
    await connection.execute("DELETE FROM lead_inbox WHERE id = $1", leads[7].lead_id)
    await connection.close()
    console = Console(record=True, width=120)
    assert not await compare_all(kafka, postgres, console)
    said = console.export_text()
    assert f"missing: {leads[7].lead_id}" in said
    assert "differs by 1" in said


async def test_event_without_its_delivery_is_named(
    kafka: Kafka, postgres: Postgres, leads: list[LeadReceived], database: Database
) -> None:
    connection = await asyncpg.connect(database.owner)
    event_id = await connection.fetchval(
        "INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, delivery_count)"
        " VALUES (gen_random_uuid(), 'lead.received', $1, 'x', now(), 2) RETURNING id",
        leads[7].lead_id,
    )
    await connection.execute(
        "INSERT INTO webhook_delivery (event_id, destination, lead_id, position) VALUES ($1, 'crm', $2, 1)",
        event_id,
        leads[7].lead_id,
    )
    await connection.close()
    console = Console(record=True, width=160)
    assert not await compare_all(kafka, postgres, console)
    said = console.export_text()
    assert f"missing: event {event_id}: 1 of 2 deliveries" in said
    assert "webhooks: deliveries" in said
