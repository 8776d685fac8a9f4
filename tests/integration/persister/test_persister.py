"""The persister stores leads, with a real broker and a real database."""

from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from contracts import topics
from runtime.settings import Kafka, Postgres
from services.persister import batch
from tests.support.factories import lead, post, records_of
from tests.support.services.persister import count_records, ledger_sums, persister, reset_offsets
from tests.support.wait import eventually

RECEIVED = topics.RECEIVED.name


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
    assert str(sent.email) not in str(dict(entry))


async def test_a_lead_that_looks_like_spam_is_stored_as_spam(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    async with persister(kafka, postgres):
        await post(kafka, lead(spam_reasons=("honeypot", "links")))
        row = await eventually(lambda: db.fetchrow("SELECT status, spam_reasons FROM lead_inbox"))
    assert (row["status"], row["spam_reasons"]) == ("spam", ["honeypot", "links"])


@pytest.mark.parametrize("part", [batch.PART_RECORDS, 8])
async def test_a_redelivered_batch_inserts_nothing_twice(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(batch, "PART_RECORDS", part)
    leads = [lead() for _ in range(40)]
    async with persister(kafka, postgres):
        await post(kafka, *leads, *leads)
        await eventually(lambda: count_records(db), until=lambda n: n == 80, what="80 records in the ledger")
    await reset_offsets(kafka)  # all of them come again
    async with persister(kafka, postgres):
        await post(kafka, leads[0])
        await eventually(lambda: count_records(db), until=lambda n: n == 81, what="81 records in the ledger")
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 40
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 40
    assert await ledger_sums(db) == {
        "stored": 40,
        "duplicate": 41,
        "parked": 0,
        "undecodable": 0,
        "missing": 0,
    }


async def test_a_late_copy_does_not_revive_an_erased_lead(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    erased = lead()
    async with persister(kafka, postgres):
        await post(kafka, erased)
        await eventually(lambda: count_records(db), until=lambda n: n == 1)
        await db.execute("UPDATE lead_inbox SET status = 'erased', body_sha256 = '', name = '', message = ''")
        await post(kafka, erased)
        await eventually(lambda: count_records(db), until=lambda n: n == 2)
        assert await records_of(kafka, topics.FAILED.name) == []
    assert await db.fetchval("SELECT status FROM lead_inbox") == "erased"


async def test_batches_over_all_partitions_balance_the_ledger(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = [lead() for _ in range(1500)]
    async with persister(kafka, postgres):
        await post(kafka, *leads)
        await eventually(
            lambda: count_records(db), until=lambda n: n == 1500, what="1,500 records in the ledger"
        )
    read = await db.fetchval("SELECT count(*) FROM partition_ledger WHERE next_offset > 0")
    assert read == topics.PARTITIONS
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 1500
    assert (await ledger_sums(db))["stored"] == 1500


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
        await eventually(lambda: count_records(db))
        async with persister(kafka, postgres):  # joins, and leaves again
            await post(kafka, *leads[500:1500])
            await eventually(lambda: count_records(db), until=lambda n: n > 600)
        await post(kafka, *leads[1500:])
        await eventually(lambda: count_records(db), until=lambda n: n == 2000, seconds=40)
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 2000
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.received'") == 2000
    assert (await ledger_sums(db))["stored"] == 2000


async def test_a_restored_database_gets_the_leads_that_kafka_still_holds(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = [lead() for _ in range(60)]
    async with persister(kafka, postgres):
        await post(kafka, *leads)
        await eventually(lambda: count_records(db), until=lambda n: n == 60)
    # The backup is older: half of the leads are neither in its tables nor in its ledger.
    for row in await db.fetch("SELECT relid::regclass::text AS name FROM pg_partition_tree('audit_log')"):
        await db.execute(f"ALTER TABLE {row['name']} DISABLE TRIGGER audit_log_is_append_only")
    await db.execute("TRUNCATE audit_log, audit_event_id, lead_inbox, lead_note")
    await db.execute("UPDATE partition_ledger SET next_offset = base_offset, stored = 0")
    async with persister(kafka, postgres):
        await post(kafka, *[lead() for _ in range(60)])
        await eventually(
            lambda: count_records(db), until=lambda n: n == 120, what="120 records in the ledger"
        )
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 120
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 120
    assert (await ledger_sums(db))["missing"] == 0
