"""A lead becomes spam while its record is being stored: the destination that gets it hears of the spam."""

import asyncio
import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.lead_events import LeadChanged
from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from runtime.sites.file import read_sites
from services.webhooks.destinations import Destinations
from services.webhooks.events import events_of_change
from services.webhooks.store import Store
from tests.support.factories import lead, post
from tests.support.services.admin import add_leads
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import webhook_receiver

WAITS = "SELECT count(*) FROM pg_locks WHERE relation = 'webhook_delivery'::regclass AND NOT granted"


async def test_a_change_to_spam_is_stored_after_the_record_that_is_being_stored(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead()
    admin = await asyncpg.connect(postgres.url.get_secret_value())
    await add_leads(admin, [sent])
    async with webhook_receiver() as crm, open_pool(postgres, "other") as pool:
        events = ["lead.received", "lead.status_changed"]
        sites = write_sites(tmp_path, destination("crm", crm.url, events=events))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            blocked = db.transaction()
            await blocked.start()
            await db.execute("LOCK TABLE webhook_delivery IN SHARE MODE")
            await post(kafka, sent)
            await eventually(lambda: admin.fetchval(WAITS), what="the record that is being stored")
            await admin.execute("UPDATE lead_inbox SET status = 'spam' WHERE id = $1", sent.lead_id)
            row = await admin.fetchrow("DELETE FROM lead_event_outbox RETURNING *")
            assert row
            change = LeadChanged.model_validate({**row, "occurred_at": row["created_at"]})
            # Another process has the partition of the changes.
            destinations = Destinations(read_sites(sites), dict(os.environ))
            other = Store(pool, Ledger("webhooks"), timedelta(seconds=60))
            plan = partial(_plan, destinations)
            storing = asyncio.create_task(other.save([], [], [change], plan, [], []))
            await asyncio.sleep(1)
            await blocked.rollback()
            await storing
            types = await eventually(
                lambda: asyncio.sleep(0, [event["type"] for event in crm.events]),
                until=lambda found: len(found) == 2,
                what="both events",
            )
    await admin.close()
    assert types == ["lead.received", "lead.status_changed"]
    assert crm.events[1]["data"]["to_status"] == "spam"


def _plan(destinations: Destinations, change: LeadChanged, row: Any, known: Any) -> Any:
    return events_of_change(change, row, known, destinations)
