"""The persister with poison records, refused leads and failing databases."""

import asyncio
import math
from typing import Any

import pytest

from contracts import headers, topics
from contracts.leads import LeadReceived
from runtime import metrics
from runtime.settings import Kafka, Postgres
from services.persister import batch
from tests.support.factories import lead, post, producer, records_of
from tests.support.services.persister import count_records, ledger_sums, persister
from tests.support.stack import Database, Stack
from tests.support.wait import eventually

RECEIVED = topics.RECEIVED.name


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
        # Regression: an invalid count could be neither handled nor published as a failure: the stage stopped.
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
        await eventually(lambda: count_records(db), until=lambda n: n == 8, what="8 records in the ledger")
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
    assert await ledger_sums(db) == {"stored": 3, "duplicate": 0, "parked": 0, "undecodable": 5, "missing": 0}


@pytest.mark.parametrize("part", [batch.PART_RECORDS, 8])
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
    monkeypatch.setattr(batch, "PART_RECORDS", part)
    good = [lead() for _ in range(20)]
    bad = lead(**refused)
    async with persister(kafka, postgres):
        await post(kafka, *good[:10], bad, *good[10:])
        await eventually(lambda: count_records(db), until=lambda n: n == 21, what="21 records in the ledger")
        (failed,) = await eventually(lambda: records_of(kafka, topics.FAILED.name))
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 20
    assert failed.key == str(bad.lead_id).encode()
    assert headers.text(failed.headers, headers.FINAL) == "false"
    assert code in (headers.text(failed.headers, headers.EXCEPTION_MESSAGE) or "")
    assert (await ledger_sums(db))["parked"] == 1


async def test_second_body_of_a_key_is_queued_as_conflict_and_first_stays(
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


async def test_an_unavailable_database_pauses_the_stage_and_uses_no_retry(
    kafka: Kafka, postgres: Postgres, db: Any, stack: Stack, database: Database
) -> None:
    leads: list[LeadReceived] = [lead() for _ in range(10)]
    async with persister(kafka, postgres):
        await post(kafka, leads[0])
        await eventually(lambda: count_records(db), until=lambda n: n == 1)
        async with stack.database_unavailable(database):
            await post(kafka, *leads[1:])
            await asyncio.sleep(1.5)  # long enough for several tries
            assert await count_records(db) == 1
        await eventually(lambda: count_records(db), until=lambda n: n == 10, what="all leads after the pause")
        assert await records_of(kafka, topics.FAILED.name) == []


async def test_stage_with_only_poison_records_stops_until_resumed(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    topic = kafka.topic_prefix + RECEIVED
    async with producer(kafka) as sender:
        for _ in range(600):
            await sender.send(topic, b"not json")
        await sender.flush()
    # All records exist before the persister starts, so one batch may contain them all.
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
        await eventually(
            lambda: count_records(db), until=lambda n: n == 300, seconds=30, what="all others taken"
        )
        assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 200
    assert len(await records_of(kafka, topics.FAILED.name)) == 100


REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF new.name = 'Refused' THEN RAISE EXCEPTION 'no'; END IF; RETURN new; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON lead_inbox FOR EACH ROW EXECUTE FUNCTION refuse();
    """


async def test_regression_lead_refused_by_trigger_waits_alone(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    # P0001 is of no class of data errors: the stage stood still for every lead.
    await db.execute(REFUSE)
    good = [lead() for _ in range(9)]
    async with persister(kafka, postgres):
        await post(kafka, *good[:4], lead(name="Refused"), *good[4:])
        await eventually(lambda: count_records(db), until=lambda n: n == 10, what="10 records in the ledger")
        failed = await records_of(kafka, topics.FAILED.name)
    assert await db.fetchval("SELECT count(*) FROM lead_inbox") == 9
    assert (await ledger_sums(db))["parked"] == 1
    reasons = [headers.text(record.headers, headers.EXCEPTION_MESSAGE) for record in failed]
    assert reasons == ["database answered P0001"]


async def test_regression_refused_lead_is_not_counted_as_missing(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    # The leads behind it did not continue the ledger: the persister went back to it without an end. It never
    # paused, so nobody saw it.
    await db.execute(REFUSE)
    pauses = metrics.PAUSES.labels(part="database")
    before = pauses._value.get()

    async def count_pauses() -> float:
        return float(pauses._value.get() - before)

    leads = [lead(name="Refused"), lead(), lead()]
    async with producer(kafka) as sender:
        for each in leads:
            value = each.model_dump_json().encode()
            await sender.send_and_wait(kafka.topic_prefix + RECEIVED, value, partition=0)
        async with persister(kafka, postgres):
            await eventually(count_pauses, until=lambda n: n > 1, what="a pause")  # is the database at fault?
            value = lead().model_dump_json().encode()
            await sender.send_and_wait(kafka.topic_prefix + RECEIVED, value, partition=1)
            await eventually(lambda: count_records(db), until=lambda n: n == 4, seconds=30, what="4 records")
    assert await ledger_sums(db) == {"stored": 3, "duplicate": 0, "parked": 1, "undecodable": 0, "missing": 0}
    (failed,) = await records_of(kafka, topics.FAILED.name)
    assert failed.value == leads[0].model_dump_json().encode()
