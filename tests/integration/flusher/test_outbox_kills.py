"""A flusher is killed before and after Kafka has an event: the event is published, with one id."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from runtime.settings import Kafka, Postgres
from tests.support.factories import lead
from tests.support.services.admin import add_leads
from tests.support.services.outbox import outbox, published
from tests.support.services.processes import ServiceProcess
from tests.support.wait import eventually

WAITS = "SELECT count(*) FROM pg_locks WHERE relation = 'lead_event_outbox'::regclass AND NOT granted"


def _process(kafka: Kafka, postgres: Postgres, folder: Path) -> ServiceProcess:
    variables = {
        "DATABASE_URL": postgres.url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "DEBUG": "true",
    }
    return ServiceProcess("flusher", variables, folder)


@contextlib.asynccontextmanager
async def _flusher(kafka: Kafka, postgres: Postgres, folder: Path) -> AsyncIterator[None]:
    """Run a flusher as a process of its own, and kill it at the end."""
    process = _process(kafka, postgres, folder)
    process.start()
    try:
        await process.ready()
        yield
    finally:
        process.kill()


async def _change(db: Any) -> None:
    sent = lead()
    await add_leads(db, [sent])
    for status in ("processing", "won"):
        await db.execute("UPDATE lead_inbox SET status = $2 WHERE id = $1", sent.lead_id, status)


async def _until_empty(db: Any) -> None:
    await eventually(lambda: outbox(db), until=lambda rows: rows == [], what="the empty outbox")


async def test_a_kill_between_publishing_and_deleting_repeats_the_event(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    await _change(db)
    async with db.transaction():
        # The relay may read and lock rows, and waits before it deletes them.
        await db.execute("LOCK TABLE lead_event_outbox IN SHARE MODE")
        async with _flusher(kafka, postgres, tmp_path):
            await eventually(lambda: published(kafka), until=lambda events: len(events) == 2)
            await eventually(lambda: db.fetchval(WAITS))
    assert len(await outbox(db)) == 2
    async with _flusher(kafka, postgres, tmp_path):
        await _until_empty(db)
    events = await published(kafka)
    assert set(Counter(event["event_id"] for event in events).values()) == {2}
    first = dict.fromkeys((event["from_status"], event["to_status"]) for event in events)
    assert list(first) == [("received", "processing"), ("processing", "won")]


async def test_a_kill_before_kafka_has_the_event_loses_nothing(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    # Without its topic, the relay holds the rows while it waits for an acknowledgement.
    nowhere = kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}none."})
    await _change(db)
    process = _process(nowhere, postgres, tmp_path)
    process.start()
    try:
        locked = "SELECT count(*) FROM (SELECT FROM lead_event_outbox FOR UPDATE SKIP LOCKED) AS free"
        await eventually(lambda: db.fetchval(locked), until=lambda free: free == 0, what="the claim")
    finally:
        process.kill()
    assert len(await outbox(db)) == 2
    async with _flusher(kafka, postgres, tmp_path):
        await _until_empty(db)
    assert len(await published(kafka)) == 2
