"""Running replays: their order, their rate, and rows that another transaction has locked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from contracts import topics
from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from services.admin.schemas.replay_filters import HistoryPage, ReplayOrder, ResultPage
from services.admin.store.deliveries.queue import ReplayQueue
from services.admin.store.deliveries.replays import Replays
from services.flusher.retries.retry_scheduler import RetryScheduler
from tests.support.factories import records_of
from tests.support.services.flusher import NOTIFIER, Clock, fill, retry_scheduler_of
from tests.support.wait import eventually

BURY = "UPDATE replay_queue SET state = 'dead', final = true, attempts = 3, next_attempt_at = NULL"


@asynccontextmanager
async def polling(kafka: Kafka, postgres: Postgres, clock: Clock) -> AsyncIterator[RetryScheduler]:
    """The jobs once they have Kafka: a poll without it sends nothing."""
    async with retry_scheduler_of(kafka, postgres, clock) as jobs:

        async def connected() -> bool:
            return jobs._publisher.connected

        await eventually(connected)
        yield jobs


async def begin(postgres: Postgres, **order: Any) -> UUID:
    async with open_pool(postgres, "test") as pool:
        answer = await Replays(pool).start(ReplayOrder.model_validate(order), None, "ann")
    assert answer.replay is not None
    return answer.replay.id


async def outcomes(postgres: Postgres, replay_id: UUID) -> dict[str, int]:
    async with open_pool(postgres, "test") as pool:
        detail = await Replays(pool).get_replay(replay_id, ResultPage())
    return {name: rows for name, rows in detail.outcomes.model_dump().items() if rows}


async def test_two_flushers_share_a_replays_rate_and_send_each_row_once(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await fill(db, 25)
    await db.execute(BURY)
    clock, replay_id = Clock(), await begin(postgres, per_second=10)
    async with polling(kafka, postgres, clock) as one, polling(kafka, postgres, clock) as two:
        for taken in (10, 20, 25):
            await asyncio.gather(one.poll(), two.poll(), one.poll())
            assert await db.fetchval("SELECT taken FROM queue_replay") == taken
            clock.turn(seconds=1)
        await one.poll()
    assert await outcomes(postgres, replay_id) == {"sent": 25}
    assert await db.fetchval("SELECT finished_at IS NOT NULL FROM queue_replay")
    assert len(await records_of(kafka, NOTIFIER)) == 25
    rows = await db.fetch("SELECT DISTINCT state, attempts, final FROM replay_queue")
    assert [tuple(row) for row in rows] == [("replaying", 0, False)]


async def test_a_clock_that_jumped_back_does_not_hold_a_replay_up(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await fill(db, 2)
    clock = Clock()
    await begin(postgres, per_second=1)
    async with polling(kafka, postgres, clock) as jobs:
        await jobs.poll()
        clock.turn(hours=-1)
        await jobs.poll()
    assert await db.fetchval("SELECT taken FROM queue_replay") == 2


async def test_several_replays_alternate_and_a_single_request_waits_for_none(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await fill(db, 6)
    ids = [row["id"] for row in await db.fetch("SELECT id FROM replay_queue ORDER BY id")]
    await db.execute(BURY)
    for part in (ids[:3], ids[3:5]):
        await begin(postgres, ids=part, per_second=1)
    async with open_pool(postgres, "test") as pool:
        await ReplayQueue(pool).replay_one(ids[5], None, "bob")
    async with polling(kafka, postgres, Clock()) as jobs:
        await jobs.poll()
    assert [row["taken"] for row in await db.fetch("SELECT taken FROM queue_replay")] == [1, 1]
    assert await db.fetchval("SELECT state FROM replay_queue WHERE id = $1", ids[5]) == "replaying"


async def test_waiting_row_uses_no_retry_and_row_without_payload_is_skipped(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await fill(db, 4)
    await db.execute("UPDATE replay_queue SET attempts = 2")
    resolved, sent, erased, waits = [row["id"] for row in await db.fetch("SELECT id FROM replay_queue")]
    replay_id = await begin(postgres)
    # What happened between the admin's order and the tick.
    await db.execute("UPDATE replay_queue SET state = 'resolved', payload = NULL WHERE id = $1", resolved)
    await db.execute("UPDATE replay_queue SET state = 'replaying' WHERE id = $1", sent)
    await db.execute("UPDATE replay_queue SET state = 'archived', payload = NULL WHERE id = $1", erased)
    async with polling(kafka, postgres, Clock()) as jobs:
        await jobs.poll()
    assert await outcomes(postgres, replay_id) == {"resolved": 1, "skipped": 2, "sent": 1}
    row = await db.fetchrow("SELECT state, attempts FROM replay_queue WHERE id = $1", waits)
    assert tuple(row) == ("replaying", 2)
    assert len(await records_of(kafka, NOTIFIER)) == 1
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.replayed'") == 1


async def test_a_locked_row_is_processed_later(
    kafka: Kafka, postgres: Postgres, database: Any, db: Any
) -> None:
    await fill(db, 3)
    await begin(postgres)
    clock = Clock()
    async with polling(kafka, postgres, clock) as jobs:
        async with db.transaction():
            await db.execute("SELECT 1 FROM replay_queue LIMIT 1 FOR UPDATE")
            await jobs.poll()
        assert await db.fetchval("SELECT taken FROM queue_replay") == 2
        assert await db.fetchval("SELECT finished_at FROM queue_replay") is None
        clock.turn(seconds=1)
        await jobs.poll()
    assert await db.fetchval("SELECT taken FROM queue_replay WHERE finished_at IS NOT NULL") == 3


async def test_while_kafka_is_unavailable_no_row_is_processed_or_changed(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: Any
) -> None:
    await fill(db, 3)
    await db.execute(BURY)
    before = await db.fetch("SELECT * FROM replay_queue ORDER BY id")
    replay_id = await begin(postgres)
    clock = Clock()
    monkeypatch.setattr("services.flusher.publisher.SEND_SECONDS", 0.3)
    nowhere = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    async with retry_scheduler_of(nowhere, postgres, clock) as jobs:
        await jobs.poll()
        # Kafka fails just after the check.
        monkeypatch.setattr("services.flusher.publisher.ReplayPublisher.connected", True)
        clock.turn(seconds=1)
        await jobs.poll()
        assert not jobs._health.parts["replays"].ok
    assert await outcomes(postgres, replay_id) == {"queued": 3}
    assert [dict(row) for row in await db.fetch("SELECT * FROM replay_queue ORDER BY id")] == [
        dict(row) for row in before
    ]


async def test_row_that_kafka_always_refuses_is_dead_and_others_continue(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await fill(db, 1, payload=b"x" * (topics.FAILED_MAX_BYTES + 1))
    await fill(db, 2)
    replay_id, clock = await begin(postgres), Clock()
    async with polling(kafka, postgres, clock) as jobs:

        async def poll() -> Any:
            clock.turn(seconds=1)
            await jobs.poll()
            return await db.fetchval("SELECT finished_at FROM queue_replay")

        # A record that is too large replaces the producer. Records sent at the same time are sent again.
        await eventually(poll, what="the end of the replay")
    assert await outcomes(postgres, replay_id) == {"sent": 2, "failed": 1}
    dead = await db.fetchrow("SELECT * FROM replay_queue WHERE state = 'dead'")
    assert dead["final"]


async def test_a_cancel_waits_for_the_current_tick_and_stops_the_replay(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: Any
) -> None:
    await fill(db, 4)
    replay_id, clock = await begin(postgres, per_second=2), Clock()
    began, go_on = asyncio.Event(), asyncio.Event()
    async with open_pool(postgres, "test") as pool, polling(kafka, postgres, clock) as jobs:
        replay = jobs._publisher.send

        async def slowly(*args: Any) -> Any:
            if args[0]:
                began.set()
                await go_on.wait()
            return await replay(*args)

        monkeypatch.setattr(jobs._publisher, "send", slowly)
        turn = asyncio.create_task(jobs.poll())
        await began.wait()
        cancelling = asyncio.create_task(Replays(pool).cancel(replay_id, "bob"))
        done, _ = await asyncio.wait([cancelling], timeout=0.3)
        assert not done
        go_on.set()
        assert (await cancelling).cancelled == 2
        await turn
        clock.turn(seconds=2)
        await jobs.poll()
        (shown,) = (await Replays(pool).list_replays(HistoryPage())).replays
    assert (shown.state, shown.cancelled_by, shown.taken) == ("cancelled", "bob", 2)
    assert await outcomes(postgres, replay_id) == {"sent": 2, "cancelled": 2}
    assert len(await records_of(kafka, NOTIFIER)) == 2
