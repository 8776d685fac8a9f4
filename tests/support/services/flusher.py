"""The flusher to test with: the whole service, its jobs under a clock of the test's own, and failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from contracts import headers as h
from contracts import topics
from contracts.failures import LeadFailed, Origin
from runtime.database.ledger import Ledger, LedgerEntries
from runtime.database.postgres import Connection, open_pool
from runtime.failures import Backoff, RewindRequired
from runtime.health import Health
from runtime.kafka import publisher as runtime_kafka
from runtime.settings import Kafka, Postgres
from services.flusher.app import create_app
from services.flusher.failed_record import decode_failure
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.publisher import ReplayPublisher
from services.flusher.retries.retry_claims import RetryClaims
from services.flusher.retries.retry_rules import Row
from services.flusher.retries.retry_scheduler import RetryScheduler
from services.flusher.settings import Settings
from services.flusher.store import Store
from tests.support.factories import producer
from tests.support.wait import eventually

NOTIFIER = topics.RETRY_NOTIFIER.name
NEVER = "0 0 29 2 *"


@contextlib.asynccontextmanager
async def flusher(kafka: Kafka, postgres: Postgres, cron: str = NEVER) -> AsyncIterator[Any]:
    """The whole service in this process: its lifespan, without its socket."""
    app = create_app(Settings(kafka=kafka, postgres=postgres, cron=cron))
    async with app.router.lifespan_context(app):
        yield app


def _after_a_tick() -> datetime:
    """Return a time a minute after a tick of */5: a test may add seconds without reaching the next."""
    now = datetime.now(UTC)
    return now + timedelta(minutes=(1 - now.minute) % 5)


@dataclass
class Clock:
    """A clock that a test turns. It starts a minute after a tick of */5."""

    now: datetime = field(default_factory=_after_a_tick)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **by: float) -> None:
        self.now += timedelta(**by)


def past_clock() -> Clock:
    """Return a clock that starts a year ago, for jobs that do not believe a clock ahead of the database's."""
    return Clock(_after_a_tick() - timedelta(days=365))


@contextlib.asynccontextmanager
async def retry_scheduler_of(
    kafka: Kafka,
    postgres: Postgres,
    clock: Clock,
    cron: str = "*/5 * * * *",
    deliver: Callable[[Row], Awaitable[None]] | None = None,
    backoff: Backoff | None = None,
) -> AsyncIterator[RetryScheduler]:
    """The jobs without their scheduler. A test calls `tick` instead."""
    health = Health()
    async with (
        open_pool(postgres, "test") as pool,
        runtime_kafka.open_publisher(kafka, "test", health) as publisher,
    ):
        yield RetryScheduler(
            RetryClaims(pool, clock),
            JobRuns(pool, clock),
            ReplayPublisher(publisher, deliver or _no_site),
            health,
            cron,
            clock,
            backoff or Backoff(base_seconds=0.05, cap_seconds=0.1),
        )


async def tick(scheduler: RetryScheduler) -> None:
    """Run the job of this tick, and again until it succeeds or the scheduler drains."""
    while True:
        if await scheduler.job.tick() or scheduler._stopping.is_set():
            return
        await asyncio.sleep(0.05)


async def _no_site(row: Row) -> None:
    raise AssertionError("no row of this test comes from a website")


def failure(number: int = 0, **changes: Any) -> LeadFailed:
    """The failure of a deferred mail, as the notifier publishes it. `number` is the offset of its record."""
    fields: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": datetime.now(UTC),
        "stage": "notifier",
        "kind": "welcome",
        "final": False,
        "reason": "smtp 451 4.7.1",
        "error": "runtime.failures.RetryableError",
        "origin": Origin(
            topic="leads.received.v1",
            partition=3,
            offset=number,
            timestamp_ms=1_700_000_000_123,
            consumer_group="fastcore.notifier",
        ),
    }
    return LeadFailed.model_validate(fields | changes)


OWN = [
    (h.CONTENT_TYPE, b"application/json"),
    (h.CORRELATION_ID, b"req-7"),
    (h.TRACEPARENT, b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("x-odd", b"\xff"),
]


async def publish_failures(kafka: Kafka, key: Any, value: bytes | None, *failures: LeadFailed) -> None:
    """Publish failures as a stage does."""
    async with producer(kafka) as sender:
        for each in failures:
            await sender.send_and_wait(
                kafka.topic_prefix + topics.FAILED.name,
                key=str(key).encode() if key is not None else b"",
                value=value,
                headers=each.to_headers(OWN),
            )


async def counted_failures(db: Any) -> int:
    return int(await db.fetchval("SELECT coalesce(sum(next_offset - base_offset), 0) FROM partition_ledger"))


async def until_counted(db: Any, count: int) -> None:
    await eventually(
        lambda: counted_failures(db), until=lambda n: n >= count, what=f"{count} failures in the ledger"
    )


async def books(db: Any) -> dict[str, int]:
    row = await db.fetchrow(
        "SELECT sum(stored)::int stored, sum(duplicate)::int duplicate, sum(parked)::int parked,"
        " sum(undecodable)::int undecodable, sum(missing)::int missing FROM partition_ledger"
    )
    return dict(row)


async def row_of(db: Any) -> Any:
    return await db.fetchrow("SELECT * FROM replay_queue")


def named(record: Any, name: str) -> str | None:
    return h.text(record.headers, name)


@dataclass
class Record:
    """A record as the consumer hands it over."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    partition: int = 0
    timestamp: int = 1_700_000_000_000


class NoSeekLedger(Ledger):
    """Books for tests that hand failures over without Kafka: they keep pages, but never seek."""

    def __init__(self) -> None:
        super().__init__("flusher")

    async def lock(self, connection: Connection, records: Sequence[Any]) -> LedgerEntries:
        try:
            return await super().lock(connection, records)
        except RewindRequired as back:
            for place, offset in back.offsets.items():
                await self.open_epoch(connection, place, 1, offset)
            back.confirm()
            return await super().lock(connection, records)


_offsets = iter(range(1, 1_000_000))


async def hand_over(
    store: Store, failed: LeadFailed, key: Any, value: bytes | None, publisher: ReplayPublisher
) -> dict[str, int]:
    """Give one failure to the store, at the time of the store's clock."""
    record = Record("elsewhere", next(_offsets), str(key).encode(), value, tuple(failed.to_headers(OWN)))
    return await store.store_failures([decode_failure(record, "group")], publisher.publish_dead_letters)


async def fill(db: Any, rows: int, payload: bytes = b"{}") -> None:
    """Rows that wait and are due."""
    await db.execute(
        "INSERT INTO replay_queue (id, stage, kind, lead_id, reason, error, next_attempt_at, origin_topic,"
        " origin_partition, origin_offset, origin_timestamp, origin_group, record_key, payload,"
        " first_failed_at, last_failed_at) SELECT gen_random_uuid(), 'notifier', 'welcome',"
        " gen_random_uuid(), 'smtp 451', 'RetryableError', now() - interval '1 minute', 't', 0, n, now(),"
        " 'g', 'k', $2, now(), now()"
        " FROM generate_series(1, $1) n",
        rows,
        payload,
    )


async def fill_site(db: Any, rows: int, site: str = "shop", **changes: Any) -> list[Any]:
    """Rows of a website's leads that wait and are due, oldest first; return their ids."""
    await db.execute(
        "INSERT INTO replay_queue (id, stage, kind, lead_id, by_origin, reason, error, next_attempt_at,"
        " origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group, record_key, payload,"
        " made_by, first_failed_at, last_failed_at) SELECT gen_random_uuid(), 'site', 'pull',"
        " gen_random_uuid(), true, 'gateway 422', 'gateway', now() - interval '1 hour' + n * interval '1 s',"
        " 'site:' || $2, -1, n, now(), 'site', convert_to('key-' || n, 'UTF8'), '{}', 'site_pull', now(),"
        " now()"
        " FROM generate_series(1, $1) n",
        rows,
        site,
    )
    for column, value in changes.items():
        await db.execute(
            f"UPDATE replay_queue SET {column} = $1 WHERE origin_topic = $2", value, f"site:{site}"
        )
    found = await db.fetch(
        "SELECT id FROM replay_queue WHERE origin_topic = $1 ORDER BY origin_offset", f"site:{site}"
    )
    return [row["id"] for row in found]


async def replay_as_admin(db: Any) -> None:
    """What the admin service does to a dead row."""
    await db.execute(
        "UPDATE replay_queue SET state = 'waiting', attempts = 0, final = false, next_attempt_at = now(),"
        " requested_at = now(), requested_by = 'alice' WHERE state = 'dead'"
    )
