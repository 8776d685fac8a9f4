"""The runs of the flusher's retry job, with a real broker and a real database."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.settings import Kafka, Postgres
from services.flusher.retries.retry_scheduler import JOB
from tests.support.factories import records_of
from tests.support.services.flusher import NOTIFIER, Clock, fill, retry_scheduler_of, tick
from tests.support.wait import eventually


async def test_two_flushers_at_once_send_each_row_once(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    clock, rows = Clock(), 450
    await fill(db, rows)
    async with (
        retry_scheduler_of(kafka, postgres, clock) as one,
        retry_scheduler_of(kafka, postgres, clock) as other,
    ):
        await asyncio.gather(tick(one), tick(other))  # one has the lock
        assert len(await records_of(kafka, NOTIFIER)) == rows
        assert await db.fetchval("SELECT runs FROM scheduled_job") == 1
        await db.execute("UPDATE replay_queue SET state = 'waiting', requested_at = now()")
        await asyncio.gather(one.poll(), other.poll())  # rows in one's hands are skipped by the other
    assert len(await records_of(kafka, NOTIFIER)) == 2 * rows
    assert await db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'replaying'") == rows
    assert await db.fetchval("SELECT max(attempts) FROM replay_queue") == 1


async def test_a_run_is_recorded_and_each_tick_has_one(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    clock = Clock(datetime(2030, 1, 1, 12, 1, tzinfo=UTC))
    await fill(db, 2)
    with capture_logs() as logs:
        async with retry_scheduler_of(kafka, postgres, clock) as jobs:
            await tick(jobs)
            await tick(jobs)  # a restart within the same five minutes
    job = await db.fetchrow("SELECT * FROM scheduled_job")
    assert (job["name"], job["schedule"], job["runs"]) == (JOB, "*/5 * * * *", 1)
    assert job["last_outcome"] == "succeeded"
    assert job["last_started_at"] == clock.now
    assert job["next_run_at"] == datetime(2030, 1, 1, 12, 5, tzinfo=UTC)
    assert job["last_details"] == {"sent": 2, "dead": 0, "notifier": 2}
    assert job["last_duration_ms"] >= 0
    (line,) = [line for line in logs if line["event"] == "Queue flushed"]
    assert (line["sent"], line["notifier"]) == (2, 2)


@pytest.mark.parametrize(
    "left",
    [
        "next_run_at = next_run_at - interval '1 day'",  # the service was down
        "next_run_at = next_run_at + interval '1 hour'",  # the clock jumped back
        "last_outcome = 'running', last_finished_at = NULL",  # the flusher died in it
        "last_outcome = 'failed'",
    ],
)
async def test_a_run_that_was_missed_is_made_up_at_the_start(
    kafka: Kafka, postgres: Postgres, db: Any, left: str
) -> None:
    clock = Clock()
    async with retry_scheduler_of(kafka, postgres, clock) as jobs:
        await tick(jobs)
        await db.execute(f"UPDATE scheduled_job SET {left}")
        await tick(jobs)
        await tick(jobs)
    job = await db.fetchrow("SELECT runs, last_outcome FROM scheduled_job")
    assert tuple(job) == (2, "succeeded")


async def test_kafka_outage_fails_run_uses_no_retry_and_later_run_recovers(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    await fill(db, 3)
    monkeypatch.setattr("services.flusher.publisher.SEND_SECONDS", 0.5)
    nowhere = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    async with retry_scheduler_of(nowhere, postgres, clock) as jobs:
        ticking = asyncio.create_task(tick(jobs))
        job = await eventually(
            lambda: db.fetchrow("SELECT * FROM scheduled_job WHERE last_outcome = 'failed'"),
            what="the failed run",
        )
        assert job["last_details"] == {"reason": "kafka did not acknowledge in time"}
        assert job["last_finished_at"] is not None
        assert not jobs._health.parts["replays"].ok
        assert await db.fetchval("SELECT sum(attempts) FROM replay_queue WHERE state = 'waiting'") == 0
        jobs._publisher._publisher._settings = kafka
        await asyncio.wait_for(ticking, 20)
        assert jobs._health.parts["replays"].ok
    assert await db.fetchval("SELECT last_outcome FROM scheduled_job") == "succeeded"
    assert await db.fetchval("SELECT sum(attempts) FROM replay_queue WHERE state = 'replaying'") == 3
    assert len(await records_of(kafka, NOTIFIER)) >= 3


async def test_drain_ends_run_after_current_chunk_and_next_start_continues(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, sent = Clock(), "SELECT count(*) FROM replay_queue WHERE state = 'replaying'"
    monkeypatch.setattr("services.flusher.retries.target_sender.CHUNK", 5)
    await fill(db, 300)
    async with retry_scheduler_of(kafka, postgres, clock) as jobs:
        ticking = asyncio.create_task(tick(jobs))
        await eventually(lambda: db.fetchval(sent), every=0.005, what="the first chunk")
        await jobs.drain()
        await ticking
    assert 0 < await db.fetchval(sent) < 300
    job = await db.fetchrow("SELECT last_outcome, last_details FROM scheduled_job")
    assert tuple(job) == ("failed", {"reason": "stopped before the end"})
    async with retry_scheduler_of(kafka, postgres, clock) as jobs:
        await tick(jobs)
    assert await db.fetchval(sent) == 300
    assert len(await records_of(kafka, NOTIFIER)) == 300
