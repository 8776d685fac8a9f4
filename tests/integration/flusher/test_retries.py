"""The retries and replays that the flusher sends, with a real broker and a real database."""

import random
from datetime import timedelta
from functools import partial
from operator import eq
from typing import Any
from uuid import uuid4

from structlog.testing import capture_logs

from contracts import headers as h
from contracts import topics
from contracts.failures import LeadDead, LeadFailed
from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from services.flusher.store import Store
from services.notifier.app import create_app as create_notifier
from services.notifier.settings import Settings as NotifierSettings
from services.persister.app import create_app as create_persister
from services.persister.settings import Settings as PersisterSettings
from tests.support.factories import lead, post, records_of
from tests.support.mail.smtp import smtp_server
from tests.support.services.flusher import (
    NOTIFIER,
    OWN,
    Clock,
    NoSeekLedger,
    books,
    failure,
    fill,
    flusher,
    hand_over,
    named,
    publish_failures,
    replay_as_admin,
    retry_scheduler_of,
    row_of,
    tick,
    until_counted,
)
from tests.support.wait import eventually


async def test_a_failure_waits_and_goes_back_to_its_stage_at_the_tick(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    sent, clock = lead(), Clock()
    value, failed = sent.model_dump_json().encode(), failure()
    async with flusher(kafka, postgres):
        await publish_failures(kafka, sent.lead_id, value, failed)
        await until_counted(db, 1)
    row = await row_of(db)
    assert (row["state"], row["attempts"], row["lead_id"]) == ("waiting", 0, sent.lead_id)
    assert (row["payload"], row["record_key"]) == (value, str(sent.lead_id).encode())
    assert row["headers"][h.CORRELATION_ID] == "req-7"
    assert (row["origin_partition"], row["reason"]) == (3, "smtp 451 4.7.1")

    async with retry_scheduler_of(kafka, postgres, clock) as jobs:
        clock.turn(minutes=1)
        await tick(jobs)
    (record,) = await records_of(kafka, NOTIFIER)
    assert (record.key, record.value) == (str(sent.lead_id).encode(), value)
    assert named(record, h.QUEUE_ID) == str(row["id"])
    assert named(record, h.RETRY_ATTEMPTS) == "1"
    assert named(record, h.KIND) == "welcome"
    assert named(record, h.TRACEPARENT) == OWN[2][1].decode()
    assert named(record, h.ORIGINAL_TIMESTAMP) == "1700000000123"
    assert LeadFailed.from_headers(record.headers).origin == failed.origin
    assert "x-odd" not in dict(record.headers)
    row = await row_of(db)
    assert (row["state"], row["attempts"]) == ("replaying", 1)
    assert row["next_attempt_at"] == clock.now + timedelta(hours=1)
    entries = await db.fetch("SELECT event, actor, lead_id FROM audit_log ORDER BY id")
    assert [tuple(entry) for entry in entries] == [
        ("lead.parked", "notifier", sent.lead_id),
        ("lead.replayed", "flusher", sent.lead_id),
    ]
    assert str(sent.email) not in str(await db.fetch("SELECT details_json::text FROM audit_log"))


async def test_third_failed_retry_archives_the_lead_byte_for_byte(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    key, value, clock = uuid4(), b'{"caf\xc3\xa9": "\\u0041 "}', Clock()
    async with (
        open_pool(postgres, "test") as pool,
        retry_scheduler_of(kafka, postgres, clock) as jobs,
        flusher(kafka, postgres),
    ):
        await publish_failures(kafka, key, value, failure())
        await until_counted(db, 1)
        queue_id = (await row_of(db))["id"]
        store = Store(pool, NoSeekLedger(), clock, random.Random(1))
        for attempt, wait in ((1, 15), (2, 60), (3, None)):
            clock.turn(minutes=5)
            await tick(jobs)
            row = await row_of(db)
            assert (row["state"], row["attempts"]) == ("replaying", attempt)
            again = failure(attempt, queue_id=queue_id, attempts=attempt, reason=f"smtp 451 4.7.{attempt}")
            await hand_over(store, again, key, value, jobs._publisher)
            row = await row_of(db)
            if wait is None:
                break
            assert row["state"] == "waiting"
            late = row["next_attempt_at"] - clock.now
            assert timedelta(minutes=wait) <= late <= timedelta(minutes=wait * 1.2)
            clock.turn(minutes=wait - 1)
            await tick(jobs)  # not yet
            assert (await row_of(db))["state"] == "waiting"
            clock.now = row["next_attempt_at"]
    assert (row["state"], row["attempts"], row["reason"]) == ("dead", 3, "smtp 451 4.7.3")
    assert len(await records_of(kafka, NOTIFIER)) == 3
    (letter,) = await records_of(kafka, topics.DEAD.name)
    assert (letter.key, letter.value) == (str(key).encode(), value)
    dead = LeadDead.from_headers(letter.headers)
    assert (dead.reason, dead.origin.offset, dead.attempts) == ("smtp 451 4.7.3", 0, 3)
    assert dead.queue_id == queue_id
    assert row["payload"] == value
    dead_entry = await db.fetchrow("SELECT * FROM audit_log WHERE event = 'lead.dead'")
    assert (dead_entry["event_id"], dead_entry["details_json"]["attempts"]) == (dead.event_id, 3)


async def test_a_request_is_handled_within_two_seconds_and_uses_no_retry(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    async with flusher(kafka, postgres):
        await publish_failures(kafka, uuid4(), b"{}", failure())
        await until_counted(db, 1)
        with capture_logs() as logs:
            await db.execute("UPDATE replay_queue SET requested_at = now(), requested_by = 'alice'")
            row = await eventually(
                lambda: row_of(db), until=lambda row: row["state"] == "replaying", seconds=2, what="the send"
            )

            async def flush_logged() -> bool:  # after the commit that we saw
                return any("Queue flushed" in line["event"] and line["notifier"] == 1 for line in logs)

            await eventually(flush_logged, what="the log line")
    assert (row["attempts"], row["requested_at"], row["requested_by"]) == (0, None, None)
    (record,) = await records_of(kafka, NOTIFIER)
    assert named(record, h.RETRY_ATTEMPTS) == "0"
    entry = await db.fetchrow("SELECT actor, details_json FROM audit_log WHERE event = 'lead.replayed'")
    assert (entry["actor"], entry["details_json"]["cause"]) == ("alice", "requested")


async def test_an_undecodable_record_is_replayed_to_where_it_came_from(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    undecodable = failure(
        stage="persister", kind="store", final=True, reason="undecodable", error="runtime.PermanentError"
    )
    async with flusher(kafka, postgres):
        await publish_failures(kafka, None, b"\xffnot json", undecodable)
        await until_counted(db, 1)
        row = await row_of(db)
        assert (row["state"], row["by_origin"], row["lead_id"]) == ("dead", True, None)
        await replay_as_admin(db)
        again = await eventually(lambda: records_of(kafka, topics.RECEIVED.name), what="the replay")
        assert (again[0].key, again[0].value) == (b"", b"\xffnot json")
        assert named(again[0], h.QUEUE_ID) == str(row["id"])
        # It cannot be decoded still: the same row is dead again, with a second letter.
        await publish_failures(
            kafka, None, b"\xffnot json", undecodable.model_copy(update={"event_id": uuid4()})
        )
        await until_counted(db, 2)
    assert (await row_of(db))["state"] == "dead"
    assert await books(db) == {"stored": 1, "duplicate": 1, "parked": 0, "undecodable": 0, "missing": 0}
    assert [letter.value for letter in await records_of(kafka, topics.DEAD.name)] == [b"\xffnot json"] * 2


async def test_conflict_replay_creates_new_lead_and_is_resolved(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    first = lead(extra={"n": 1})
    second = lead(lead_id=first.lead_id, request_id=first.request_id, message="Another body: caf\u00e9")
    app = create_persister(PersisterSettings(kafka=kafka, postgres=postgres))
    async with app.router.lifespan_context(app), flusher(kafka, postgres):
        await post(kafka, first, second)
        row = await eventually(lambda: row_of(db), what="the conflict's row")
        assert (row["state"], row["reason"], row["lead_id"]) == ("dead", "conflict", first.lead_id)
        await replay_as_admin(db)
        await eventually(
            lambda: row_of(db), until=lambda row: row["state"] == "resolved", what="the replay's effect"
        )
    stored = await db.fetchrow("SELECT * FROM lead_inbox WHERE id <> $1", first.lead_id)
    assert stored["id"] == row["replay_lead_id"]
    assert stored["message"] == second.message
    assert stored["request_id"] == f"conflict-{row['id']}"
    assert (await row_of(db))["payload"] is None
    replayed = await db.fetchrow("SELECT * FROM audit_log WHERE event = 'lead.replayed'")
    assert replayed["lead_id"] == first.lead_id
    assert replayed["details_json"]["replayed_as"] == str(stored["id"])


async def test_a_record_that_no_topic_accepts_is_dead_and_delays_no_other(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    clock = Clock()
    await fill(db, 1, bytes(3 << 20))
    await fill(db, 1, b"small")
    await db.execute(  # a conflict whose bytes are no JSON: cannot be, and if it is
        "UPDATE replay_queue SET by_origin = true, replay_lead_id = id WHERE payload = 'small'"
    )
    await fill(db, 3, b"good")
    async with retry_scheduler_of(kafka, postgres, clock) as jobs:
        await tick(jobs)
    assert [record.value for record in await records_of(kafka, NOTIFIER)] == [b"good"] * 3
    rows = await db.fetch("SELECT reason FROM replay_queue WHERE state = 'dead' ORDER BY reason")
    assert [row["reason"] for row in rows] == ["bug: JSONDecodeError", "record too large for the topic"]


async def test_replay_unanswered_for_an_hour_is_resent_and_uses_no_retry(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    clock = Clock()
    await fill(db, 1)
    async with retry_scheduler_of(kafka, postgres, clock) as jobs:
        for minutes, sent in ((0, 1), (55, 1), (10, 2)):
            clock.turn(minutes=minutes)
            await tick(jobs)
            assert len(await records_of(kafka, NOTIFIER)) == sent
    row = await row_of(db)
    assert (row["state"], row["attempts"]) == ("replaying", 1)


async def test_a_repeat_of_an_old_failure_does_not_take_a_replay_back(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    key, clock, failed = uuid4(), Clock(), failure()
    async with open_pool(postgres, "test") as pool, retry_scheduler_of(kafka, postgres, clock) as jobs:
        store = Store(pool, NoSeekLedger(), clock)
        await hand_over(store, failed, key, b"{}", jobs._publisher)
        await tick(jobs)
        await db.execute("UPDATE replay_queue SET attempts = 3")
        assert await hand_over(store, failed, key, b"{}", jobs._publisher) == {"duplicate": 1, "dead": 0}
    assert (await row_of(db))["state"] == "replaying"


async def test_twice_deferred_mail_is_sent_once_and_refused_mail_is_dead(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    sent, gone = lead(), lead(email="gone@example.com")
    async with smtp_server() as server:
        server.then(f"rcpt:{sent.email}", "451 4.7.1 later", "451 4.7.1 later")
        server.always["rcpt:gone@example.com"] = "550 5.1.1 no such user"
        settings = {
            "kafka": kafka,
            "postgres": postgres,
            "smtp": {"host": server.host, "port": server.port, "tls": False},
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
        }
        app = create_notifier(NotifierSettings.model_validate(settings))
        async with app.router.lifespan_context(app), flusher(kafka, postgres):
            await post(kafka, sent, gone)
            for attempt in (1, 2):
                await eventually(
                    lambda: db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'waiting'"),
                    what=f"the row before request {attempt}",
                )
                await db.execute(
                    "UPDATE replay_queue SET requested_at = now(), requested_by = 'alice'"
                    " WHERE state = 'waiting'"
                )
                await eventually(
                    lambda: db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.replayed'"),
                    until=partial(eq, attempt),
                    what="the replay",
                )
            row = await eventually(
                lambda: db.fetchrow("SELECT * FROM replay_queue WHERE lead_id = $1", sent.lead_id),
                until=lambda row: row["state"] == "resolved",
                what="the mail's effect",
            )
    assert (row["attempts"], row["payload"]) == (0, None)
    assert [mail.kind for mail in server.mails if mail.recipients == [sent.email]] == ["welcome"]
    dead = await db.fetchrow("SELECT * FROM replay_queue WHERE lead_id = $1", gone.lead_id)
    assert (dead["state"], dead["kind"]) == ("dead", "welcome")
    assert "550" in dead["reason"]
    assert len(await records_of(kafka, topics.DEAD.name)) == 1
