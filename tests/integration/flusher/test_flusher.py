"""The flusher taking failures, against a real broker and a real database."""

import contextlib
import random
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from contracts import headers as h
from contracts import topics
from contracts.failures import LeadDead, failure_event_id, legacy_failure_event_id
from runtime.database.postgres import open_pool
from runtime.failures import DependencyUnavailable
from runtime.settings import Kafka, Postgres
from services.flusher.failed_record import decode_failure
from services.flusher.store import Store
from tests.support.factories import producer, records_of
from tests.support.services.flusher import (
    OWN,
    Clock,
    NoSeekLedger,
    Record,
    books,
    failure,
    flusher,
    named,
    publish_failures,
    retry_scheduler_of,
    row_of,
    until_counted,
)
from tests.support.services.processes import processes
from tests.support.stack import Database, Stack
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client


async def test_repeats_change_nothing(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    failures = [failure(n) for n in range(5)]
    keys = [uuid4() for _ in failures]
    for _ in range(2):  # once in the topic twice, then once more after a restart that forgot nothing
        for key, each in zip(keys, failures, strict=True):
            await publish_failures(kafka, key, b"{}", each, each)
    async with flusher(kafka, postgres):
        await until_counted(db, 20)
    assert await db.fetchval("SELECT count(*) FROM replay_queue") == 5
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 5
    assert await books(db) == {"stored": 5, "duplicate": 15, "parked": 0, "undecodable": 0, "missing": 0}


async def test_regression_failure_of_earlier_version_is_a_repeat_by_new_id(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    # A resolved row began a new life, and its mail was sent again.
    key, failed = uuid4(), failure(7)
    lost = failed.origin.model_copy(update={"timestamp_ms": failed.origin.timestamp_ms - 5})
    legacy_id = legacy_failure_event_id(failed.origin, "notifier", "welcome")
    async with flusher(kafka, postgres):
        await publish_failures(kafka, key, b"old", failed.model_copy(update={"event_id": legacy_id}))
        await until_counted(db, 1)
        await db.execute("UPDATE replay_queue SET state = 'resolved', payload = NULL, next_attempt_at = NULL")
        for origin, state in ((failed.origin, "resolved"), (lost, "waiting")):
            event_id = failure_event_id(origin, "notifier", "welcome")
            await publish_failures(
                kafka, key, b"new", failed.model_copy(update={"event_id": event_id, "origin": origin})
            )
            await until_counted(db, 2 if state == "resolved" else 3)
            assert (await row_of(db))["state"] == state


async def test_a_final_failure_is_dead_at_once(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    key, final = uuid4(), failure(final=True, reason="smtp 550 5.1.1")
    before = REGISTRY.get_sample_value("fastcore_leads_dead_total", {"stage": "notifier"}) or 0
    async with flusher(kafka, postgres):
        await publish_failures(kafka, key, b"\x00\xff bytes", final)
        await until_counted(db, 1)
    row = await row_of(db)
    assert (row["state"], row["final"], row["attempts"]) == ("dead", True, 0)
    (letter,) = await records_of(kafka, topics.DEAD.name)
    assert (letter.key, letter.value) == (str(key).encode(), b"\x00\xff bytes")
    dead = LeadDead.from_headers(letter.headers)
    assert (dead.reason, dead.final, dead.origin) == ("smtp 550 5.1.1", True, final.origin)
    assert named(letter, h.CONTENT_TYPE) == "application/json"
    events = await db.fetch("SELECT event FROM audit_log ORDER BY id")
    assert [entry["event"] for entry in events] == ["lead.parked", "lead.dead"]
    assert REGISTRY.get_sample_value("fastcore_leads_dead_total", {"stage": "notifier"}) == before + 1


async def test_records_with_unreadable_headers_are_stored(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    topic, key = kafka.topic_prefix + topics.FAILED.name, uuid4()
    good = failure().to_headers(OWN)
    odd: list[tuple[bytes | None, bytes | None, Any]] = [
        (b"no key of ours", b"\xff\xfe", []),
        (str(key).encode(), b"{}", [("fastcore-stage", b"\xff")]),
        (b"k", None, good),
        (b"k2", b"{}", [(n, b"notifier\x00" if n == h.STAGE else v) for n, v in good]),
        (b"k3", b"{}", [(n, b"9" * 30 if n == h.ORIGINAL_OFFSET else v) for n, v in good]),
        (b"k4", b"{}", [(n, b"site" if n == h.STAGE else v) for n, v in good]),
        (b"k5", b"{}", [(n, b"9" * 30 if n == h.RETRY_BACKOFF_TIMESTAMP else v) for n, v in good]),
    ]
    async with producer(kafka) as sender, flusher(kafka, postgres):
        for record_key, value, headers in odd:
            await sender.send_and_wait(topic, value, key=record_key, headers=headers, partition=0)
        await sender.send_and_wait(
            topic, b"good", key=str(key).encode(), headers=failure().to_headers(OWN), partition=0
        )
        await until_counted(db, len(odd) + 1)
    rows = await db.fetch("SELECT payload, state, reason, by_origin FROM replay_queue")
    unreadable = [row for row in rows if row["reason"] == "undecodable failure"]
    assert sorted(bytes(row["payload"]) for row in unreadable) == [b"{}"] * 4 + [b"\xff\xfe"]
    assert {(row["state"], row["by_origin"]) for row in unreadable} == {("dead", True)}
    # A null value is a final failure of its stage; the NUL in a header costs nothing.
    assert [row["state"] for row in rows if row["payload"] is None] == ["dead"]
    assert [row["state"] for row in rows if row["payload"] == b"good"] == ["waiting"]
    letters = await records_of(kafka, topics.DEAD.name)
    assert len(letters) == 6
    assert (await books(db))["stored"] == len(rows)


async def test_a_second_record_of_a_lead_has_bytes_and_a_row_of_its_own(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    key = uuid4()
    refused = {"stage": "persister", "kind": "store", "reason": "database refused the data (22P05)"}
    async with flusher(kafka, postgres):
        await publish_failures(kafka, key, b"first body", failure(1, **refused), failure(1, **refused))
        await publish_failures(kafka, key, b"second body", failure(2, **refused), failure(2, **refused))
        await until_counted(db, 4)
    rows = await db.fetch("SELECT payload, by_origin, state FROM replay_queue ORDER BY origin_offset")
    assert [tuple(row) for row in rows] == [
        (b"first body", False, "waiting"),
        (b"second body", True, "waiting"),
    ]
    assert (await books(db))["stored"] == 2


async def test_pending_record_that_becomes_conflict_is_keyed_by_origin(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    key, persister = uuid4(), {"stage": "persister", "kind": "store"}
    async with flusher(kafka, postgres):
        await publish_failures(
            kafka, key, b"body", failure(1, reason="database refused the data (22P05)", **persister)
        )
        await until_counted(db, 1)
        made = await row_of(db)
        conflict = failure(1, reason="conflict", final=True, queue_id=made["id"], **persister)
        await publish_failures(kafka, key, b"body", conflict)
        await until_counted(db, 2)
    row = await row_of(db)
    assert (row["id"], row["state"], row["by_origin"]) == (made["id"], "dead", True)
    assert row["replay_lead_id"] is not None


async def test_a_resolved_row_that_fails_anew_waits_with_the_new_bytes(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    key = uuid4()
    async with flusher(kafka, postgres):
        await publish_failures(kafka, key, b"old", failure(1))
        await until_counted(db, 1)
        await db.execute(
            "UPDATE replay_queue SET state = 'resolved', attempts = 2, payload = NULL, next_attempt_at = NULL"
        )
        await publish_failures(kafka, key, b"new", failure(2))
        await until_counted(db, 2)
    row = await row_of(db)
    assert (row["state"], row["attempts"], row["payload"]) == ("waiting", 0, b"new")
    assert row["origin_offset"] == 2


@pytest.mark.parametrize("state", ["dead", "archived"])
async def test_a_row_that_a_person_has_stays_where_it_is(
    kafka: Kafka, postgres: Postgres, db: Any, state: str
) -> None:
    key = uuid4()
    async with flusher(kafka, postgres):
        await publish_failures(kafka, key, b"{}", failure(1))
        await until_counted(db, 1)
        await db.execute("UPDATE replay_queue SET state = $1, next_attempt_at = NULL", state)
        await publish_failures(kafka, key, b"{}", failure(2, reason="smtp 550 5.1.1", final=True))
        await until_counted(db, 2)
    row = await row_of(db)
    assert (row["state"], row["final"], row["reason"]) == (state, False, "smtp 550 5.1.1")
    assert await records_of(kafka, topics.DEAD.name) == []


async def test_crash_before_commit_repeats_dead_letter_and_loses_none(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    clock, key, final = Clock(), uuid4(), failure(final=True)
    async with open_pool(postgres, "test") as pool, retry_scheduler_of(kafka, postgres, clock) as jobs:
        store = Store(pool, NoSeekLedger(), clock)
        record = Record("failed", 1, str(key).encode(), b"bytes", tuple(final.to_headers(OWN)))

        async def crash(letters: Any) -> None:
            await jobs._publisher.publish_dead_letters(letters)
            raise DependencyUnavailable("kafka", "crashed here")

        with pytest.raises(DependencyUnavailable):
            await store.store_failures([decode_failure(record, "g")], crash)
        assert await row_of(db) is None
        await store.store_failures([decode_failure(record, "g")], jobs._publisher.publish_dead_letters)
        await store.store_failures([decode_failure(record, "g")], jobs._publisher.publish_dead_letters)
    letters = await records_of(kafka, topics.DEAD.name)
    assert len(letters) == 2
    assert len({named(letter, h.EVENT_ID) for letter in letters}) == 1
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.dead'") == 1


async def test_an_unavailable_database_loses_no_tick_and_no_failure(
    stack: Stack, database: Database, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    async with flusher(kafka, postgres, "*/5 * * * *") as app:
        await eventually(lambda: db.fetchval("SELECT last_outcome FROM scheduled_job"), what="the first run")
        async with stack.database_unavailable(database):
            await publish_failures(kafka, uuid4(), b"{}", failure(1), failure(2, final=True))
            await eventually(lambda: ready(app), until=lambda code: code == 503, what="red readiness")
        await eventually(lambda: ready(app), until=lambda code: code == 200, what="green readiness")
        await until_counted(db, 2)
    assert (await row_of(db))["state"] == "dead"
    assert len(await records_of(kafka, topics.DEAD.name)) == 1


async def ready(app: Any) -> int:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flusher") as client:
        return (await client.get("/readyz")).status_code


async def test_it_starts_and_runs_while_everything_is_unavailable(tmp_path: Path) -> None:
    away = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "DATABASE_URL": "postgresql://f:f@127.0.0.1:9/f"}
    with processes(tmp_path, away, "flusher") as started:
        async with plain_client(base_url=started["flusher"].url) as client:

            async def answers(path: str) -> int:
                with contextlib.suppress(httpx.HTTPError):
                    return (await client.get(path)).status_code
                return 0

            await eventually(lambda: answers("/livez"), until=lambda code: code == 200, what="life")
            assert await answers("/readyz") == 503
        assert await started["flusher"].stop(30) in (0, -signal.SIGTERM)


async def test_the_sum_of_stored_is_the_number_of_rows_made(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    rng = random.Random(7)
    keys = [uuid4() for _ in range(12)]
    kinds = [("notifier", "welcome"), ("notifier", "admin_alert"), ("persister", "store")]
    events = 0
    async with flusher(kafka, postgres), producer(kafka) as sender:
        for n in range(300):
            stage, kind = rng.choice(kinds)
            reason = (
                rng.choice(["smtp 451", "conflict", "undecodable"]) if stage == "persister" else "smtp 451"
            )
            final = reason != "smtp 451" or rng.random() < 0.2
            failed = failure(rng.randrange(60), stage=stage, kind=kind, reason=reason, final=final)
            for _ in range(rng.choice([1, 1, 2])):
                events += 1
                await sender.send(
                    kafka.topic_prefix + topics.FAILED.name,
                    key=str(rng.choice(keys)).encode() if n % 9 else b"odd",
                    value=b"{}",
                    headers=failed.to_headers(OWN) if n % 11 else [],
                )
        await sender.flush()
        await until_counted(db, events)
    counted = await books(db)
    assert counted["stored"] == await db.fetchval("SELECT count(*) FROM replay_queue") > 50
    assert sum(counted.values()) == events
    assert (await books(db))["stored"] + counted["duplicate"] == events
