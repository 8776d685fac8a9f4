"""The relay of the outbox without its schedule, and what the outbox and its topic hold."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from contracts import topics
from runtime.database.postgres import open_pool
from runtime.health import Health
from runtime.kafka import publisher as runtime_kafka
from runtime.settings import Kafka, Postgres
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.outbox_relay import OutboxRelay
from services.flusher.retries.retry_scheduler import utc_now
from tests.support.factories import lead, records_of
from tests.support.services.admin import add_leads


@contextlib.asynccontextmanager
async def relay_of(kafka: Kafka, postgres: Postgres) -> AsyncIterator[OutboxRelay]:
    """A relay that publishes when a test says so."""
    async with (
        open_pool(postgres, "test") as pool,
        runtime_kafka.open_publisher(kafka, "test", Health()) as publisher,
    ):
        yield OutboxRelay(pool, JobRuns(pool, utc_now), publisher, utc_now)


async def publish_changes(kafka: Kafka, postgres: Postgres) -> None:
    """Publish what waits in the outbox."""
    async with relay_of(kafka, postgres) as relay:
        await relay.publish_all()


async def outbox(db: Any) -> list[dict[str, Any]]:
    """Return the unpublished events in their order."""
    rows = await db.fetch(
        "SELECT type, lead_id, changed, from_status, to_status FROM lead_event_outbox ORDER BY position"
    )
    return [dict(row) for row in rows]


async def published(kafka: Kafka) -> list[dict[str, Any]]:
    """Return the events on the topic, in the order of partition and offset."""
    return [json.loads(record.value) for record in await records_of(kafka, topics.CHANGED.name)]


async def change_leads(db: Any, leads: int, times: int) -> list[UUID]:
    """Change each of some new leads so many times, in one transaction after the other. Return their ids."""
    sent = [lead() for _ in range(leads)]
    await add_leads(db, sent)
    ids = [each.lead_id for each in sent]
    for number in range(times):
        await db.execute(
            "UPDATE lead_inbox SET status = (ARRAY['processing', 'contacted', 'won', 'lost'])[$1 % 4 + 1]",
            number,
        )
    return ids


async def order_on_the_topic(kafka: Kafka) -> dict[str, list[str]]:
    """Return the event ids of each lead in their order, each once."""
    found = dict[str, dict[str, None]]()
    for event in await published(kafka):
        found.setdefault(event["lead_id"], {})[event["event_id"]] = None
    return {lead_id: list(ids) for lead_id, ids in found.items()}


async def order_in_the_outbox(db: Any) -> dict[str, list[str]]:
    """Return the unpublished event ids of each lead in their order."""
    rows = await db.fetch(
        "SELECT lead_id::text, array_agg(event_id::text ORDER BY position) FROM lead_event_outbox GROUP BY 1"
    )
    return dict(rows)
