"""Kafka stops and the database goes away while the outbox is full: every change is published, in order."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import running_kafka
from runtime.settings import Kafka, Postgres
from tests.support.services.flusher import flusher
from tests.support.services.outbox import change_leads, order_in_the_outbox, order_on_the_topic
from tests.support.stack import Database, Stack
from tests.support.wait import eventually

ROWS = "SELECT count(*) FROM lead_event_outbox"


@pytest.mark.timeout(180)
async def test_a_full_outbox_outlives_kafka_and_the_database(
    postgres: Postgres, stack: Stack, database: Database, db: Any, tmp_path: Path
) -> None:
    with running_kafka(tmp_path) as broker:
        kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
        await provision(kafka)
        async with flusher(kafka, postgres):
            await change_leads(db, leads=1, times=1)
            await eventually(lambda: db.fetchval(ROWS), until=lambda rows: rows == 0, what="the first change")
            broker.kill()
            ids = await change_leads(db, leads=600, times=3)  # several batches
            rows = await db.fetchval(ROWS)
            await asyncio.sleep(2)  # the relay holds a batch until its sends give up
            change = "UPDATE lead_inbox SET assignee = 'ann' WHERE id = $1"
            await asyncio.wait_for(db.execute(change, ids[0]), 3)  # no change waits for Kafka
            assert await db.fetchval(ROWS) == rows + 1 > 1800
            expected = await order_in_the_outbox(db)
            async with stack.database_unavailable(database):
                await asyncio.sleep(2)
            assert await order_in_the_outbox(db) == expected
            broker.start()
            async with stack.database_unavailable(database):  # while it publishes
                await asyncio.sleep(3)
            await eventually(
                lambda: db.fetchval(ROWS), until=lambda rows: rows == 0, seconds=90, what="the empty outbox"
            )
        found = await order_on_the_topic(kafka)
    first = {lead_id: events[-len(expected[lead_id]) :] for lead_id, events in found.items()}
    assert first == expected
