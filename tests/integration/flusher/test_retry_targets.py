"""A target that is unavailable, slow or refuses delays no other: real Kafka and PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from contracts import topics
from runtime.database.postgres import open_pool
from runtime.failures import Backoff, DependencyUnavailable, RetryableError
from runtime.settings import Kafka, Postgres
from services.admin.schemas.replay_filters import ReplayOrder
from services.admin.store.deliveries.replays import Replays
from services.flusher.retries.retry_rules import Row
from services.flusher.retries.retry_scheduler import RetryScheduler
from tests.support.factories import records_of
from tests.support.services.flusher import NOTIFIER, Clock, fill, fill_site, retry_scheduler_of, tick
from tests.support.wait import eventually

BURY = "UPDATE replay_queue SET state = 'dead', final = true, attempts = 3, next_attempt_at = NULL"
REQUEST = "UPDATE replay_queue SET requested_at = now(), requested_by = 'alice' WHERE stage = 'site'"
AT_ONCE = Backoff(base_seconds=0.0, cap_seconds=0.0)
PATIENT = Backoff(base_seconds=60, cap_seconds=60)


class Gateway:
    """Answers each website's leads as a test wants it, and counts them."""

    def __init__(self) -> None:
        self.seen = Counter[str]()
        self.failures: dict[str, Exception] = {}
        self.hanging = dict[str, asyncio.Event]()

    async def deliver(self, row: Row) -> None:
        for name in (row.origin_topic.removeprefix("site:"), (row.record_key or b"").decode()):
            self.seen[name] += 1
            if name in self.hanging:
                await self.hanging[name].wait()
            if name in self.failures:
                raise self.failures[name]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    for event in made.hanging.values():
        event.set()


async def connected(jobs: RetryScheduler) -> None:
    async def is_connected() -> bool:
        return jobs._sender._publisher.connected

    await eventually(is_connected, what="the producer")


async def replay_all(postgres: Postgres, **order: Any) -> None:
    async with open_pool(postgres, "test") as pool:
        await Replays(pool).start(ReplayOrder.model_validate(order), None, "ann")


async def states(db: Any) -> dict[tuple[str, str], int]:
    rows = await db.fetch("SELECT stage, state, count(*) FROM replay_queue GROUP BY 1, 2")
    return {(row["stage"], row["state"]): row["count"] for row in rows}


@pytest.mark.parametrize("status", [401, 429])
async def test_regression_refused_site_token_blocks_no_replay_or_other_site(
    kafka: Kafka, postgres: Postgres, db: Any, gateway: Gateway, status: int
) -> None:
    gateway.failures["shop"] = DependencyUnavailable("gateway", f"gateway answered {status}")
    clock = Clock()
    await fill(db, 25)
    await db.execute(BURY)
    await replay_all(postgres, per_second=10)
    for site in ("shop", "blog"):
        await fill_site(db, 1, site)
    await db.execute(REQUEST)
    async with retry_scheduler_of(kafka, postgres, clock, deliver=gateway.deliver, backoff=PATIENT) as jobs:
        await connected(jobs)
        for _ in range(10):
            await jobs.poll()
            clock.turn(seconds=1)
        assert jobs._health.parts["replays"].reason == f"gateway answered {status}"
    assert await db.fetchval("SELECT taken FROM queue_replay") == 25
    assert gateway.seen["blog"] == 1
    assert gateway.seen["shop"] == 1, "it is tried again after a backoff, not with each poll"
    assert await states(db) == {
        ("notifier", "replaying"): 25,
        ("site", "resolved"): 1,
        ("site", "waiting"): 1,
    }
    assert await db.fetchval("SELECT sum(attempts) FROM replay_queue") == 0


async def test_regression_without_kafka_websites_leads_go_to_the_gateway(
    kafka: Kafka, postgres: Postgres, db: Any, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.flusher.publisher.SEND_SECONDS", 1.0)
    monkeypatch.setattr("services.flusher.publisher.ARCHIVE_SECONDS", 0.3)
    clock = Clock()
    await fill(db, 1)
    await fill_site(db, 2, "wanted")
    await db.execute(REQUEST)
    await fill_site(db, 2, "due")
    await fill_site(db, 1, "refused", attempts=2)
    gateway.failures["refused"] = RetryableError("gateway 422: email")
    nowhere = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    async with retry_scheduler_of(nowhere, postgres, clock, deliver=gateway.deliver) as jobs:
        await jobs.poll()
        assert gateway.seen["wanted"] == 2
        await jobs.job.tick()
        assert gateway.seen["due"] == 2
        # The third refusal: its dead letter waits for Kafka, and delays nothing else.
        assert await states(db) == {
            ("notifier", "waiting"): 1, ("site", "resolved"): 4, ("site", "waiting"): 1,
        }  # fmt: skip
        await replay_all(postgres, stage="site")
        before = gateway.seen["refused"]
        del gateway.failures["refused"]
        clock.turn(seconds=1)

        async def sent_rows() -> Any:
            await jobs.send_replays()
            return await db.fetchval("SELECT taken FROM queue_replay")

        await eventually(sent_rows, what="the send of a website's row")
    assert gateway.seen["refused"] == before + 1
    assert await states(db) == {("notifier", "waiting"): 1, ("site", "resolved"): 5}


async def test_regression_hung_gateway_of_one_site_delays_no_other_site(
    kafka: Kafka, postgres: Postgres, db: Any, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.flusher.retries.target_sender.LOOK_SECONDS", 0.1)
    gateway.hanging["slow"] = asyncio.Event()
    await fill_site(db, 1, "slow")
    await fill(db, 3)
    async with retry_scheduler_of(kafka, postgres, Clock(), deliver=gateway.deliver) as jobs:
        ticking = asyncio.create_task(tick(jobs))
        await eventually(
            lambda: db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'replaying'"),
            until=lambda count: count == 3, what="the mails' rows",
        )  # fmt: skip
        await eventually(lambda: asyncio.sleep(0, gateway.seen["slow"]), what="the delivery that hangs")
        await fill_site(db, 1, "waits")  # behind a slot that hangs, until that target is a suspect
        await db.execute("UPDATE replay_queue SET state = 'resolved' WHERE state = 'replaying'")
        await fill(db, 2)  # what becomes due meanwhile
        await eventually(
            lambda: db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'replaying'"),
            until=lambda count: count == 2, what="the rows that came later",
        )  # fmt: skip
        assert not ticking.done()
        gateway.failures["slow"] = DependencyUnavailable("gateway", "gateway: no answer (TimeoutError)")
        gateway.hanging["slow"].set()
        await eventually(
            lambda: db.fetchval("SELECT state FROM replay_queue WHERE origin_topic = 'site:waits'"),
            until=lambda state: state == "resolved", what="the other website",
        )  # fmt: skip
        del gateway.failures["slow"]
        await asyncio.wait_for(ticking, 20)
    assert await db.fetchval("SELECT state FROM replay_queue WHERE origin_topic = 'site:slow'") == "resolved"


async def test_regression_hung_target_uses_no_slot_of_the_others(
    kafka: Kafka, postgres: Postgres, db: Any, gateway: Gateway
) -> None:
    gateway.failures["slow"] = DependencyUnavailable("gateway", "gateway: no answer (TimeoutError)")
    await fill_site(db, 1, "slow")
    await db.execute(REQUEST)
    async with retry_scheduler_of(kafka, postgres, Clock(), deliver=gateway.deliver, backoff=AT_ONCE) as jobs:
        await jobs.poll()
        gateway.hanging["slow"] = asyncio.Event()
        hanging = asyncio.create_task(jobs.send_requested())
        await eventually(lambda: asyncio.sleep(0, gateway.seen["slow"] == 2), what="the second try")
        await fill_site(db, 1, "blog", requested_at=datetime.now(UTC))
        another = asyncio.create_task(jobs.send_requested())
        await eventually(lambda: asyncio.sleep(0, gateway.seen["blog"] == 1), what="the other website's row")
        assert not hanging.done()
        gateway.hanging["slow"].set()
        await asyncio.gather(hanging, another)


async def test_regression_stage_with_missing_topic_delays_no_other_stage(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.flusher.publisher.SEND_SECONDS", 2.0)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([kafka.topic_prefix + NOTIFIER])
    await eventually(
        admin.list_topics, until=lambda names: kafka.topic_prefix + NOTIFIER not in names, what="no topic"
    )
    await admin.close()
    await fill(db, 4)
    await db.execute("UPDATE replay_queue SET stage = 'persister', kind = 'store' WHERE origin_offset > 2")
    await db.execute(BURY)
    await replay_all(postgres, per_second=2)
    clock = Clock()
    async with retry_scheduler_of(kafka, postgres, clock, backoff=PATIENT) as jobs:
        await connected(jobs)

        async def sent() -> int:
            await jobs.poll()
            clock.turn(seconds=1)
            return (await states(db)).get(("persister", "replaying"), 0)

        await eventually(sent, until=lambda count: count == 2, what="the other stage's rows")
    assert len(await records_of(kafka, topics.RETRY_PERSISTER.name)) == 2
    assert await states(db) == {("notifier", "dead"): 2, ("persister", "replaying"): 2}


async def test_regression_failing_head_rows_do_not_block_later_rows(
    kafka: Kafka, postgres: Postgres, db: Any, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHUNK", "SMALL_CHUNK"):
        monkeypatch.setattr(f"services.flusher.retries.target_sender.{name}", 2)
    for key in ("key-1", "key-2", "key-3"):
        gateway.failures[key] = DependencyUnavailable("gateway", "gateway answered 500")
    ids = await fill_site(db, 7)
    await db.execute(REQUEST)
    async with retry_scheduler_of(kafka, postgres, Clock(), deliver=gateway.deliver, backoff=AT_ONCE) as jobs:
        for _ in range(4):
            await jobs.poll()
        rows = await db.fetch("SELECT id, state, attempts FROM replay_queue ORDER BY origin_offset")
        assert [tuple(row) for row in rows] == [
            (each, "waiting" if number < 3 else "resolved", 0) for number, each in enumerate(ids)
        ]


async def test_regression_failing_replay_rows_do_not_block_later_rows(
    kafka: Kafka, postgres: Postgres, db: Any, gateway: Gateway
) -> None:
    await fill_site(db, 6)
    await db.execute(BURY)
    await replay_all(postgres, per_second=2)
    in_order = await db.fetch("SELECT convert_from(record_key, 'UTF8') key FROM replay_queue ORDER BY id")
    for row in in_order[:2]:
        gateway.failures[row["key"]] = DependencyUnavailable("gateway", "gateway answered 500")
    clock = Clock()
    async with retry_scheduler_of(kafka, postgres, clock, deliver=gateway.deliver, backoff=AT_ONCE) as jobs:
        await connected(jobs)
        for _ in range(5):
            await jobs.poll()
            clock.turn(seconds=1)
    assert await states(db) == {("site", "dead"): 2, ("site", "resolved"): 4}


@pytest.mark.parametrize("how", ["requested", "replay"])
async def test_regression_row_refused_by_database_does_not_block_others(
    kafka: Kafka, postgres: Postgres, db: Any, gateway: Gateway, how: str
) -> None:
    ids = await fill_site(db, 20)
    await db.execute(REQUEST if how == "requested" else BURY)
    if how == "replay":
        await replay_all(postgres, per_second=100)
    await db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF new.state = 'resolved' THEN RAISE 'no'; END IF; RETURN new; END $$"
    )
    await db.execute(
        "CREATE TRIGGER refuse BEFORE UPDATE ON replay_queue FOR EACH ROW"
        f" WHEN (old.id = '{ids[3]}') EXECUTE FUNCTION refuse()"
    )
    clock = Clock()
    async with retry_scheduler_of(kafka, postgres, clock, deliver=gateway.deliver, backoff=AT_ONCE) as jobs:
        await connected(jobs)

        async def resolved() -> int:
            clock.turn(seconds=1)
            await jobs.poll()
            return int(await db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'resolved'"))

        await eventually(resolved, until=lambda rows: rows == 19, seconds=90, what="all but the one")
