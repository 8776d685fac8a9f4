"""The persister alone, against a real broker and a real database."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts import headers, topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from services.persister import batch
from services.persister.app import create_app
from services.persister.settings import Settings
from tests.support.factories import lead, post, producer, records_of
from tests.support.stack import Database, Stack
from tests.support.wait import eventually

RECEIVED = topics.RECEIVED.name


@contextlib.asynccontextmanager
async def persister(kafka: Kafka, postgres: Postgres, **settings: Any) -> AsyncIterator[None]:
    """The whole service in this process: its lifespan, without its socket."""
    app = create_app(Settings(kafka=kafka, postgres=postgres, **settings))
    async with app.router.lifespan_context(app):
        yield


async def counted(db: Any) -> int:
    """How many records the books have passed."""
    return int(await db.fetchval("SELECT coalesce(sum(next_offset - base_offset), 0) FROM partition_ledger"))


async def books(db: Any) -> dict[str, int]:
    row = await db.fetchrow(
        "SELECT sum(stored) stored, sum(duplicate) duplicate, sum(parked) parked,"
        " sum(undecodable) undecodable, sum(missing) missing FROM partition_ledger"
    )
    return {name: int(value) for name, value in row.items()}


async def test_a_lead_is_stored_with_its_audit_entry(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    sent = lead(extra={"budget": 5000}, spam_reasons=())
    async with persister(kafka, postgres):
        await post(kafka, sent)
        row = await eventually(lambda: db.fetchrow("SELECT * FROM lead_inbox"), what="the lead")
    assert row["id"] == sent.lead_id
    assert row["email"] == sent.email
    assert row["status"] == "received"
    assert row["created_at_utc"] == sent.occurred_at
    entry = await db.fetchrow("SELECT * FROM audit_log")
    assert (entry["event"], entry["lead_id"], entry["status_code"]) == ("lead.received", sent.lead_id, 201)
    assert sent.email not in str(dict(entry))


async def test_a_lead_that_looks_like_spam_is_stored_as_spam(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    async with persister(kafka, postgres):
        await post(kafka, lead(spam_reasons=("honeypot", "links")))
        row = await eventually(lambda: db.fetchrow("SELECT status, spam_reasons FROM lead_inbox"))
    assert (row["status"], row["spam_reasons"]) == ("spam", ["honeypot", "links"])


@pytest.mark.parametrize("part", [batch.PART, 8])
async def test_a_redelivered_batch_inserts_nothing_twice(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(batch, "PART", part)
    leads = [lead() for _ in range(40)]
    async with persister(kafka, postgres):
        await post(kafka, *leads, *leads)
        await eventually(lambda: counted(db), until=lambda n: n == 80, what="80 records in the books")
    await _forget_offsets(kafka)  # all of them come again
    async with persister(kafka, postgres):
        await post(kafka, leads[0])
        await eventually(lambda: counted(db), until=lambda n: n == 81, what="81 records in the books")
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 40
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 40
    assert await books(db) == {"stored": 40, "duplicate": 41, "parked": 0, "undecodable": 0, "missing": 0}


async def _forget_offsets(kafka: Kafka) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + topics.GROUPS["persister"],
        enable_auto_commit=False,
    )
    await consumer.start()
    partitions = [TopicPartition(kafka.topic_prefix + RECEIVED, n) for n in range(topics.PARTITIONS)]
    consumer.assign(partitions)
    await consumer.commit(dict.fromkeys(partitions, 0))
    await consumer.stop()


async def test_poison_between_good_leads_is_dead_lettered_byte_for_byte(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    good = [lead() for _ in range(3)]
    topic = kafka.topic_prefix + RECEIVED
    poison: list[tuple[bytes | None, list[tuple[str, Any]]]] = [
        (b"\xff\xfe not json", []),
        (None, []),
        (b"{}", [("content-type", b"\xff")]),
        (good[0].model_dump_json().replace('"schema_version":1', '"schema_version":99').encode(), []),
        # Regression: a count that is none could be neither handled nor parked, and stopped the stage.
        (b"[]", [(headers.RETRY_ATTEMPTS, b"many")]),
    ]
    async with producer(kafka) as sender, persister(kafka, postgres):
        await sender.send_and_wait(topic, good[0].model_dump_json().encode(), partition=0)
        for value, odd in poison:
            key = None if value else b""  # as bare as Kafka allows
            await sender.send_and_wait(topic, value, key=key, partition=0, headers=odd)
        await sender.send_and_wait(
            topic,
            good[1].model_dump_json().encode(),
            partition=0,
            headers=[("x-odd", b"\xff\xfe"), ("x-null", None)],
        )
        await sender.send_and_wait(topic, good[2].model_dump_json().encode(), partition=0)
        await eventually(lambda: counted(db), until=lambda n: n == 8, what="8 records in the books")
        failed = await eventually(
            lambda: records_of(kafka, topics.FAILED.name), until=lambda found: len(found) == 5
        )
    failed.sort(key=lambda record: headers.text(record.headers, headers.ORIGINAL_OFFSET) or "")
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 3
    assert [record.value for record in failed] == [value for value, _ in poison]
    for offset, record in enumerate(failed, start=1):
        assert headers.text(record.headers, headers.FINAL) == "true"
        assert headers.text(record.headers, headers.EXCEPTION_MESSAGE) == "undecodable"
        assert headers.text(record.headers, headers.ORIGINAL_TOPIC) == topic
        assert headers.text(record.headers, headers.ORIGINAL_OFFSET) == str(offset)
    assert await books(db) == {"stored": 3, "duplicate": 0, "parked": 0, "undecodable": 5, "missing": 0}


@pytest.mark.parametrize("part", [batch.PART, 8])
@pytest.mark.parametrize(
    ("refused", "code"),
    [({"name": "nul \x00 inside"}, "22P05"), ({"extra": {"score": math.nan}}, "22P02")],
    ids=["nul", "nan"],
)
async def test_lead_refused_by_database_goes_to_retry_and_batch_is_stored(
    kafka: Kafka,
    postgres: Postgres,
    db: Any,
    refused: dict[str, Any],
    code: str,
    part: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "PART", part)
    good = [lead() for _ in range(20)]
    bad = lead(**refused)
    async with persister(kafka, postgres):
        await post(kafka, *good[:10], bad, *good[10:])
        await eventually(lambda: counted(db), until=lambda n: n == 21, what="21 records in the books")
        (failed,) = await eventually(lambda: records_of(kafka, topics.FAILED.name))
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 20
    assert failed.key == str(bad.lead_id).encode()
    assert headers.text(failed.headers, headers.FINAL) == "false"
    assert code in (headers.text(failed.headers, headers.EXCEPTION_MESSAGE) or "")
    assert (await books(db))["parked"] == 1


async def test_second_body_of_a_key_is_queued_as_conflict_and_first_is_kept(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    first = lead()
    second = first.model_copy(update={"body_sha256": "0" * 64, "message": "another"})
    async with persister(kafka, postgres):
        await post(kafka, first)
        await post(kafka, second)
        (failed,) = await eventually(lambda: records_of(kafka, topics.FAILED.name))
    assert headers.text(failed.headers, headers.EXCEPTION_MESSAGE) == "conflict"
    assert headers.text(failed.headers, headers.FINAL) == "true"
    assert await db.fetchval("SELECT message FROM lead_inbox") == first.message
    events = [row["event"] for row in await db.fetch("SELECT event FROM audit_log ORDER BY id")]
    assert events == ["lead.received", "lead.conflict"]


async def test_a_late_copy_does_not_revive_an_erased_lead(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    erased = lead()
    async with persister(kafka, postgres):
        await post(kafka, erased)
        await eventually(lambda: counted(db), until=lambda n: n == 1)
        await db.execute("UPDATE lead_inbox SET status = 'erased', body_sha256 = '', name = '', message = ''")
        await post(kafka, erased)
        await eventually(lambda: counted(db), until=lambda n: n == 2)
        assert await records_of(kafka, topics.FAILED.name) == []
    assert await db.fetchval("SELECT status FROM lead_inbox") == "erased"


async def test_batches_over_all_partitions_balance_the_books(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = [lead() for _ in range(1500)]
    async with persister(kafka, postgres):
        await post(kafka, *leads)
        await eventually(lambda: counted(db), until=lambda n: n == 1500, what="1,500 records in the books")
    read = await db.fetchval("SELECT count(*) FROM partition_ledger WHERE next_offset > 0")
    assert read == topics.PARTITIONS
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 1500
    assert (await books(db))["stored"] == 1500


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_a_batch_in_any_of_kafka_s_codecs_is_read(
    kafka: Kafka, postgres: Postgres, db: Any, codec: str
) -> None:
    sender = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, compression_type=codec)
    await sender.start()
    sent = lead()
    await sender.send_and_wait(kafka.topic_prefix + RECEIVED, sent.model_dump_json().encode())
    await sender.stop()
    async with persister(kafka, postgres):
        assert await eventually(lambda: db.fetchval("SELECT id FROM lead_inbox")) == sent.lead_id


async def test_a_rebalance_in_the_middle_loses_and_repeats_nothing(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = [lead() for _ in range(2000)]
    async with persister(kafka, postgres):
        await post(kafka, *leads[:500])
        await eventually(lambda: counted(db))
        async with persister(kafka, postgres):  # joins, and leaves again
            await post(kafka, *leads[500:1500])
            await eventually(lambda: counted(db), until=lambda n: n > 600)
        await post(kafka, *leads[1500:])
        await eventually(lambda: counted(db), until=lambda n: n == 2000, seconds=40)
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 2000
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.received'") == 2000
    assert (await books(db))["stored"] == 2000


async def test_a_restored_database_gets_the_leads_that_kafka_still_holds(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = [lead() for _ in range(60)]
    async with persister(kafka, postgres):
        await post(kafka, *leads)
        await eventually(lambda: counted(db), until=lambda n: n == 60)
    # The backup is older: half the leads are not in it, nor in its books.
    await db.execute("ALTER TABLE audit_log DISABLE TRIGGER ALL")
    await db.execute("TRUNCATE audit_log, lead_inbox")
    await db.execute("UPDATE partition_ledger SET next_offset = base_offset, stored = 0")
    async with persister(kafka, postgres):
        await post(kafka, *[lead() for _ in range(60)])
        await eventually(lambda: counted(db), until=lambda n: n == 120, what="120 records in the books")
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 120
    assert (await books(db))["missing"] == 0


async def test_a_database_that_is_away_pauses_the_stage_and_burns_nothing(
    kafka: Kafka, postgres: Postgres, db: Any, stack: Stack, database: Database
) -> None:
    leads: list[LeadReceived] = [lead() for _ in range(10)]
    async with persister(kafka, postgres):
        await post(kafka, leads[0])
        await eventually(lambda: counted(db), until=lambda n: n == 1)
        async with stack.database_away(database):
            await post(kafka, *leads[1:])
            await asyncio.sleep(1.5)  # long enough for several tries
            assert await counted(db) == 1
        await eventually(lambda: counted(db), until=lambda n: n == 10, what="all leads after the pause")
        assert await records_of(kafka, topics.FAILED.name) == []


async def test_stage_with_only_poison_records_stops_until_resumed(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    topic = kafka.topic_prefix + RECEIVED
    async with producer(kafka) as sender:
        for _ in range(600):
            await sender.send(topic, b"not json")
        await sender.flush()
    # All of them there before it starts: it could take them in one batch.
    async with persister(kafka, postgres):

        async def paused() -> Any:
            return await db.fetchval("SELECT reason FROM stage_control WHERE stage = 'persister' AND paused")

        assert "records were dead" in await eventually(paused, what="the breaker")
        stopped_at = len(await records_of(kafka, topics.FAILED.name))
        assert 100 <= stopped_at < 300
        await db.execute("UPDATE stage_control SET paused = false")

        async def failed() -> int:
            return len(await records_of(kafka, topics.FAILED.name))

        await eventually(failed, until=lambda n: n > stopped_at, what="the stage at work again")


async def test_bad_deploy_stops_stage_and_later_leads_are_stored_after_it(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await db.execute("ALTER TABLE lead_inbox ADD CONSTRAINT bad_deploy CHECK (false)")
    leads = [lead() for _ in range(300)]
    async with persister(kafka, postgres):
        await post(kafka, *leads)

        async def paused() -> Any:
            return await db.fetchval("SELECT reason FROM stage_control WHERE stage = 'persister' AND paused")

        assert "100 of the last 100 records were dead" in await eventually(paused, what="the breaker")
        assert len(await records_of(kafka, topics.FAILED.name)) == 100
        await db.execute("ALTER TABLE lead_inbox DROP CONSTRAINT bad_deploy")
        await db.execute("UPDATE stage_control SET paused = false")
        await eventually(lambda: counted(db), until=lambda n: n == 300, seconds=30, what="all others taken")
        assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 200
    assert len(await records_of(kafka, topics.FAILED.name)) == 100


async def test_regression_lead_refused_by_trigger_waits_alone(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    # P0001 is of no class of data errors: the stage stood still for every lead.
    await db.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF new.name = 'Refused' THEN RAISE EXCEPTION 'no'; END IF; RETURN new; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON lead_inbox FOR EACH ROW EXECUTE FUNCTION refuse();
        """
    )
    good = [lead() for _ in range(9)]
    async with persister(kafka, postgres):
        await post(kafka, *good[:4], lead(name="Refused"), *good[4:])
        await eventually(lambda: counted(db), until=lambda n: n == 10, what="10 records in the books")
        failed = await records_of(kafka, topics.FAILED.name)
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 9
    assert (await books(db))["parked"] == 1
    reasons = [headers.text(record.headers, headers.EXCEPTION_MESSAGE) for record in failed]
    assert reasons == ["database answered P0001"]
