"""The relay of the outbox without its schedule, and what the outbox and its topic hold."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from contracts import topics
from runtime.database.postgres import open_pool
from runtime.health import Health
from runtime.kafka import publisher as runtime_kafka
from runtime.settings import Kafka, Postgres
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.outbox_relay import OutboxRelay
from services.flusher.retries.retry_scheduler import utc_now
from tests.support.factories import records_of


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
