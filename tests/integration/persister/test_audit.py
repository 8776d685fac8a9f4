"""Audit records on a real broker and a real database: what is stored, and what becomes of the rest."""

import json
from typing import Any
from uuid import uuid4

from contracts import headers, topics
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post, producer, records_of
from tests.support.services.flusher import Clock, flusher
from tests.support.services.persister import count_records, ledger_sums, persister
from tests.support.wait import eventually

REJECTION = {
    "schema_version": 1,
    "event_id": "6f9619ff-8b86-4d01-b42d-00c04fc964ff",
    "occurred_at": "2020-01-01T00:00:00Z",
    "event": "lead.rejected",
    "actor": "www",
    "status_code": 422,
    "request_id": "r-1",
    "details": {"code": "invalid-lead", "fields": ["email"], "more": "bob@example.com"},
}


async def test_a_refusal_of_the_gateway_is_appended_once_at_our_own_time(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    entry = json.dumps(REJECTION | {"lead_id": str(uuid4())}).encode()
    async with producer(kafka) as sender, persister(kafka, postgres):
        for _ in range(2):
            await sender.send_and_wait(kafka.topic_prefix + topics.AUDIT.name, entry, key=b"r-1")
        await eventually(lambda: count_records(db), until=lambda n: n == 2)
    (row,) = await db.fetch("SELECT *, now() - created_at_utc < interval '1 minute' AS is_new FROM audit_log")
    assert (row["event"], row["actor"], row["status_code"], row["request_id"]) == (
        "lead.rejected", "www", 422, "r-1",
    )  # fmt: skip
    assert (row["lead_id"], row["is_new"]) == (None, True)
    sent_at = {"sent_at": "2020-01-01T00:00:00+00:00"}
    assert row["details_json"] == {"code": "invalid-lead", "fields": ["email"]} | sent_at


async def test_regression_producer_cannot_write_other_audit_events(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    forged = REJECTION | {"event": "lead.erased", "actor": "bob", "lead_id": str(uuid4())}
    async with producer(kafka) as sender, persister(kafka, postgres):
        await sender.send_and_wait(
            kafka.topic_prefix + topics.AUDIT.name, json.dumps(forged).encode(), key=str(uuid4()).encode()
        )
        await eventually(lambda: count_records(db), until=lambda n: n == 1)
        (failed,) = await eventually(lambda: records_of(kafka, topics.FAILED.name))
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 0
    assert headers.text(failed.headers, headers.KIND) == "audit"
    assert headers.text(failed.headers, headers.FINAL) == "true"
    assert json.loads(failed.value) == forged
    assert (await ledger_sums(db))["undecodable"] == 1


async def test_regression_audit_records_do_not_stop_the_leads(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    sent = lead()
    async with producer(kafka) as sender, persister(kafka, postgres):
        for _ in range(120):  # the breaker opens at 100
            await sender.send(kafka.topic_prefix + topics.AUDIT.name, b"not json")
        await sender.flush()
        await eventually(lambda: count_records(db), until=lambda n: n == 120, what="120 dead audit records")
        await post(kafka, sent)
        assert await eventually(lambda: db.fetchval("SELECT id FROM lead_inbox")) == sent.lead_id
    assert await db.fetchval("SELECT count(*) FROM stage_control WHERE paused") == 0


async def test_regression_failed_audit_record_is_stored_by_its_replay(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    request_id, clock = str(uuid4()), Clock()  # a client may choose one that looks like a lead's id
    await db.execute("ALTER TABLE audit_log ADD CONSTRAINT fault CHECK (event <> 'lead.rejected')")
    async with persister(kafka, postgres), flusher(kafka, postgres):
        async with producer(kafka) as sender:
            entry = json.dumps(REJECTION | {"request_id": request_id}).encode()
            await sender.send_and_wait(kafka.topic_prefix + topics.AUDIT.name, entry, key=request_id.encode())
        (row,) = await eventually(lambda: db.fetch("SELECT * FROM replay_queue"))
        assert (row["stage"], row["kind"], row["lead_id"], row["payload"]) == (
            "persister", "audit", None, entry,
        )  # fmt: skip
        assert await db.fetchval("SELECT count(*) FROM audit_log WHERE lead_id IS NOT NULL") == 0
        await db.execute("ALTER TABLE audit_log DROP CONSTRAINT fault")
        await db.execute("UPDATE replay_queue SET requested_at = $1, requested_by = 'ann'", clock.now)
        await eventually(
            lambda: db.fetchval("SELECT state FROM replay_queue"), until=lambda state: state == "resolved"
        )
    stored = "SELECT count(*) FROM audit_log WHERE event = 'lead.rejected' AND request_id = $1"
    assert await db.fetchval(stored, request_id) == 1
    assert await records_of(kafka, topics.RETRY_PERSISTER.name) == []
    assert await records_of(kafka, topics.RECEIVED.name) == []
