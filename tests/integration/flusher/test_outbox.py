"""The relay of the outbox, with a real broker and a real database."""

import asyncio
from typing import Any

import asyncpg
import pytest

from runtime.failures import DependencyUnavailable
from runtime.settings import Kafka, Postgres
from tests.support.factories import records_of
from tests.support.services.flusher import flusher
from tests.support.services.outbox import (
    change_leads,
    order_in_the_outbox,
    order_on_the_topic,
    published,
    relay_of,
)
from tests.support.stack import Database, Stack
from tests.support.wait import eventually


async def test_events_are_published_by_lead_in_order_and_deleted(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await change_leads(db, leads=700, times=3)  # several batches, and the events of a lead in each
    expected = await order_in_the_outbox(db)
    async with relay_of(kafka, postgres) as relay:
        assert await relay.publish_all() == 2100
        assert await relay.publish_all() == 0
    assert await order_on_the_topic(kafka) == expected
    records = await records_of(kafka, "leads.changed.v1")
    assert len(records) == 2100
    assert await db.fetchval("SELECT count(*) FROM lead_event_outbox") == 0
    event = (await published(kafka))[0]
    assert records[0].key == event["lead_id"].encode()
    assert (event["type"], event["from_status"], event["to_status"]) == (
        "lead.status_changed",
        "received",
        "processing",
    )


async def test_several_relays_publish_each_event_once_in_order(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two leads in turn: the three batches that are published at once hold events of the same lead.
    monkeypatch.setattr("services.flusher.jobs.outbox_relay.BATCH", 3)
    await change_leads(db, leads=2, times=80)
    expected = await order_in_the_outbox(db)
    async with (
        relay_of(kafka, postgres) as one,
        relay_of(kafka, postgres) as other,
        relay_of(kafka, postgres) as third,
    ):
        while await db.fetchval("SELECT count(*) FROM lead_event_outbox"):
            await asyncio.gather(*(relay._publish_batch() for relay in (one, other, third)))
    assert await order_on_the_topic(kafka) == expected
    assert len(await published(kafka)) == 160


async def test_an_event_waits_while_a_relay_has_an_earlier_one_of_its_lead(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await change_leads(db, leads=1, times=3)
    lock = await asyncpg.connect(postgres.url.get_secret_value())
    try:
        async with lock.transaction():
            await lock.fetch("SELECT * FROM lead_event_outbox ORDER BY position LIMIT 1 FOR UPDATE")
            async with relay_of(kafka, postgres) as relay:
                assert await relay.publish_all() == 0
        async with relay_of(kafka, postgres) as relay:
            assert await relay.publish_all() == 3
    finally:
        await lock.close()


async def test_an_event_is_repeated_with_its_id_if_its_deletion_did_not_commit(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await change_leads(db, leads=2, times=2)
    expected = await order_in_the_outbox(db)
    await db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON lead_event_outbox EXECUTE FUNCTION refuse()"
    )
    async with relay_of(kafka, postgres) as relay:
        with pytest.raises(DependencyUnavailable):
            await relay.publish_all()
        await db.execute("DROP TRIGGER refuse ON lead_event_outbox")
        assert await relay.publish_all() == 4
    assert len(await published(kafka)) == 8
    assert await order_on_the_topic(kafka) == expected


async def test_nothing_is_deleted_without_kafkas_acknowledgement(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.flusher.jobs.outbox_relay.SEND_SECONDS", 0.5)
    await change_leads(db, leads=3, times=2)
    nowhere = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    async with relay_of(nowhere, postgres) as relay:
        await relay.poll()  # it does not even try without a connection
        with pytest.raises(DependencyUnavailable):
            await relay.publish_all()
    assert await db.fetchval("SELECT count(*) FROM lead_event_outbox") == 6
    async with relay_of(kafka, postgres) as relay:
        assert await relay.publish_all() == 6


async def test_an_event_that_fails_delays_only_the_later_ones_of_its_lead(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await change_leads(db, leads=5, times=3)
    expected = await order_in_the_outbox(db)
    async with relay_of(kafka, postgres) as relay:
        send, failed = relay._publisher.send, list[str]()

        async def fail_once(topic: str, **record: Any) -> Any:
            if record["key"] == str(ids[2]).encode() and not failed:
                failed.append(topic)
                raise DependencyUnavailable("kafka", "kafka did not acknowledge in time")
            return await send(topic, **record)

        monkeypatch.setattr(relay._publisher, "send", fail_once)
        with pytest.raises(DependencyUnavailable):
            await relay.publish_all()
        left = await db.fetch("SELECT lead_id FROM lead_event_outbox")
        assert [row["lead_id"] for row in left] == [ids[2]] * 3
        assert await relay.publish_all() == 3
    assert await order_on_the_topic(kafka) == expected


async def test_the_flusher_publishes_after_a_database_outage_and_shows_its_job(
    kafka: Kafka, postgres: Postgres, stack: Stack, database: Database, db: Any
) -> None:
    async with flusher(kafka, postgres):
        await change_leads(db, leads=1, times=1)
        await eventually(
            lambda: db.fetchval("SELECT count(*) FROM lead_event_outbox"), until=lambda n: n == 0
        )
        async with stack.database_unavailable(database):
            await asyncio.sleep(1.5)  # the relay looks every second
        await change_leads(db, leads=1, times=2)
        await eventually(
            lambda: db.fetchval("SELECT count(*) FROM lead_event_outbox"),
            until=lambda n: n == 0,
            seconds=30,
        )
        job = await db.fetchrow("SELECT * FROM scheduled_job WHERE name = 'lead_event_outbox'")
    assert (job["schedule"], job["last_outcome"]) == ("* * * * *", "succeeded")
    assert len(await published(kafka)) == 4
