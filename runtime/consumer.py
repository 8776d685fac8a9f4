"""The one way that records are taken from Kafka. No decision about a record's meaning lives here.

FastStream's own loop commits past what failed, skips a batch with an odd header and rewinds without
a delay (see docs/decisions/0003); so its subscriber has no handler, and this loop reads its consumer:
explicit commits of what was handled, a pause on a fault of the world, bisection on a fault of the data.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from runtime import metrics
from runtime.failures import Backoff, FailedNow, Failure, SeekBack, WorldAway
from runtime.health import Health
from runtime.logs import logger

Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
Batch: TypeAlias = Sequence[Record]


@dataclass(frozen=True)
class Policy:
    """How records are taken. The drain inequality stands in ARCHITECTURE.md."""

    max_records: int = 500
    # A batch waits this long for more after its first record: bounds latency, raises throughput.
    max_wait_seconds: float = 0.02
    # While a handler or a pause lasts we poll this often, or the group would throw us out after
    # max.poll.interval (300 s) without a poll.
    keepalive_seconds: float = 1.0
    # How long a rebalance or a stop waits for the batch in hand. Below the rebalance timeout (60 s).
    drain_seconds: float = 50.0
    commit_seconds: float = 10.0
    start_seconds: float = 30.0
    # An idle consumer hears of each partition twice a second. Silence for so long: Kafka is away.
    silence_seconds: float = 5.0
    # Lag and no progress for so long, without a pause: a dead coordinator task (aiokafka #1154).
    watchdog_seconds: float = 120.0
    backoff: Backoff = Backoff()  # noqa: RUF009 - frozen
    bug_attempts: int = 3


class Handler(Protocol):
    """What a service does with records. Both must bear a repeat of any record."""

    async def handle(self, records: Batch) -> None:
        """Take all of these records, or raise a failure word and have taken none for good."""

    async def park(self, record: Record, failure: Failure) -> None:
        """Dead-letter or queue the one record at fault."""


class Stalled(Exception):
    """There is lag and no progress although nothing is paused: end the process, start afresh."""


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads the topics of one group and hands batches to a handler."""

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Collection[str],
        group: str,
        health: Health,
        policy: Policy | None = None,
        prefix: str = "",
    ) -> None:
        self._broker = broker
        self._handler: Handler
        self._health = health
        self._policy = policy or Policy()
        self._log = logger("consume")
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = asyncio.Event()
        self._progress = time.monotonic()
        self._heard = time.monotonic()
        self._fetched_at: int | None = None
        self._stopped = asyncio.Event()
        self._positions = dict[TopicPartition, int]()
        self._pauses_in_a_row = 0
        self._subscriber = broker.subscriber(
            *(prefix + topic for topic in topics),
            group_id=prefix + group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            session_timeout_ms=30_000,
            rebalance_timeout_ms=60_000,
            max_poll_interval_ms=300_000,
            listener=self,
        )
        health.set("consumer", ok=False, reason="connecting")

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        if consumer is None:
            raise KafkaError("the consumer is closed")
        return consumer

    async def run(self, handler: Handler) -> None:
        """Hand batches to `handler` until `stopping` is set; come back from every loss of the broker."""
        self._handler, attempt = handler, 0
        while not self.stopping.is_set():
            try:
                await asyncio.wait_for(self._broker.start(), self._policy.start_seconds)
                self._progress, self._heard, attempt = time.monotonic(), time.monotonic(), 0
                self._health.set("consumer", ok=True)
                while not self.stopping.is_set():
                    await self._step()
            except (KafkaError, OSError, TimeoutError) as error:
                self._health.set("consumer", ok=False, reason=f"kafka: {type(error).__name__}")
                self._log.warning("kafka connection lost", reason=type(error).__name__)
            finally:
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await asyncio.wait_for(self._broker.stop(), self._policy.commit_seconds)
            await self._sleep(self._policy.backoff.seconds(attempt))
            attempt += 1
        self._stopped.set()

    async def _step(self) -> None:
        records = await self._take()
        self._listen()
        self._watch()
        if not records:
            return
        self._idle.clear()
        started = time.monotonic()
        try:
            await self._while_polling(self._deliver(records))
        except SeekBack as back:
            self._rewind(records)
            for (topic, partition), offset in back.offsets.items():
                self._seek(TopicPartition(topic, partition), offset)
            self._log.warning("going back for records that the books lack", partitions=len(back.offsets))
        except WorldAway as away:
            self._rewind(records)
            self._idle.set()
            await self._pause(away)
        else:
            await self._commit(records)
            self._pauses_in_a_row = 0
            self._health.set("consumer", ok=True)
            metrics.BATCH_RECORDS.observe(len(records))
            metrics.BATCH_SECONDS.observe(time.monotonic() - started)
            for record in records:
                metrics.RECORDS.labels(topic=record.topic).inc()
        finally:
            self._progress = self._heard = time.monotonic()
            self._idle.set()

    async def _take(self) -> list[Record]:
        """Return what arrives within half a second, filled up for a moment where it is few."""
        limit = self._policy.max_records
        found = await self._consumer.getmany(timeout_ms=500, max_records=limit)
        records = [record for part in found.values() for record in part]
        if records and len(records) < limit and self._policy.max_wait_seconds:
            await asyncio.sleep(self._policy.max_wait_seconds)
            found = await self._consumer.getmany(max_records=limit - len(records))
            records += [record for part in found.values() for record in part]
        return records

    async def _deliver(self, records: Batch, attempt: int = 1) -> None:
        """Hand over a batch; where the data is at fault, halve it until the record at fault is alone."""
        try:
            await self._handler.handle(records)
        except (WorldAway, SeekBack):
            raise
        except Exception as error:  # noqa: BLE001 - whatever one record does, the others go on
            failure = error if isinstance(error, Failure) else FailedNow(f"bug: {type(error).__name__}")
            if len(records) > 1:
                middle = len(records) // 2
                await self._deliver(records[:middle])
                await self._deliver(records[middle:])
            elif failure is not error and attempt < self._policy.bug_attempts:
                await asyncio.sleep(self._policy.backoff.seconds(attempt))
                await self._deliver(records, attempt + 1)
            else:
                if failure is not error:
                    metrics.BUGS.inc()
                    self._log.error("unexpected error, record parked", exc_info=True)
                await self._park(records[0], failure)

    async def _park(self, record: Record, failure: Failure) -> None:
        """Park one record; what cannot even be parked is not passed over: the stage pauses for people."""
        try:
            await self._handler.park(record, failure)
        except (WorldAway, SeekBack):
            raise
        except Exception as error:
            self._log.error("record not parked", offset=record.offset, exc_info=True)
            place = f"{record.topic}/{record.partition} at {record.offset}"
            raise WorldAway("record", f"a record can be neither handled nor parked: {place}") from error

    async def _while_polling(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` and keep polling with everything paused, so that the group keeps us."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=self._policy.keepalive_seconds))[0]:
                # Not longer than the work: in a rebalance a poll waits for the new assignment, which
                # waits for us in on_partitions_revoked.
                poll = asyncio.create_task(self._poll_paused())
                await asyncio.wait({task, poll}, return_when=asyncio.FIRST_COMPLETED)
                if poll.done():
                    poll.result()
                poll.cancel()
            task.result()
        finally:
            if not task.done():
                task.cancel()
            with contextlib.suppress(KafkaError):
                self._consumer.resume(*self._consumer.assignment())

    async def _poll_paused(self) -> None:
        # A rebalance gives back partitions that are not paused: what they hand out is put back.
        consumer = self._consumer
        consumer.pause(*consumer.assignment())
        found = await consumer.getmany()
        self._rewind([record for part in found.values() for record in part])

    def _rewind(self, records: Batch) -> None:
        """Go back to the first of these records in every partition that is still ours."""
        first = dict[TopicPartition, int]()
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        for partition, offset in first.items():
            self._seek(partition, offset)

    def _seek(self, partition: TopicPartition, offset: int) -> None:
        # Never from the assignment callback: records arrive before it ends.
        if partition in self._consumer.assignment():
            self._consumer.seek(partition, offset)

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first offset that Kafka still holds and the one after the last."""
        target = TopicPartition(topic, partition)
        try:
            async with asyncio.timeout(self._policy.commit_seconds):
                first = await self._consumer.beginning_offsets([target])
                end = await self._consumer.end_offsets([target])
        except (KafkaError, TimeoutError) as error:
            raise WorldAway("kafka", "kafka does not tell its offsets") from error
        return first[target], end[target]

    async def _commit(self, records: Batch) -> None:
        """Commit what was handled; a failure costs a redelivery, which every handler bears."""
        offsets = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}
        self._positions.update(offsets)
        try:
            await asyncio.wait_for(self._consumer.commit(offsets), self._policy.commit_seconds)
        except (KafkaError, TimeoutError) as error:
            self._log.warning("offsets not committed", reason=type(error).__name__)

    async def _pause(self, away: WorldAway) -> None:
        seconds = self._policy.backoff.seconds(self._pauses_in_a_row)
        self._pauses_in_a_row += 1
        metrics.PAUSES.labels(part=away.part).inc()
        self._health.set("consumer", ok=False, reason=f"paused: {away.reason}")
        self._log.warning("paused", part=away.part, reason=away.reason, seconds=round(seconds, 1))
        with contextlib.suppress(KafkaError):
            await self._while_polling(self._sleep(seconds))

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    def _listen(self) -> None:
        """Tell readiness where Kafka is silent: then aiokafka hands out nothing, and raises nothing."""
        consumer = self._consumer
        fetched_at = max((consumer.last_poll_timestamp(p) or 0 for p in consumer.assignment()), default=None)
        if fetched_at != self._fetched_at:
            self._fetched_at, self._heard = fetched_at, time.monotonic()
            self._health.set("kafka", ok=True)
        silent = fetched_at is not None and time.monotonic() - self._heard > self._policy.silence_seconds
        if silent and self._health.set("kafka", ok=False, reason="kafka is silent"):
            self._log.warning("kafka is silent")

    def _watch(self) -> None:
        consumer, lag = self._consumer, 0
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            position = self._positions.get(partition)
            behind = 0 if end is None or position is None else max(0, end - position)
            metrics.LAG.labels(topic=partition.topic, partition=partition.partition).set(behind)
            lag += behind
        if not lag:
            self._progress = time.monotonic()
        elif time.monotonic() - self._progress > self._policy.watchdog_seconds:
            raise Stalled(f"{lag} records behind and no progress for {self._policy.watchdog_seconds} s")

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Let the batch in hand end and commit before others get its partitions. Bounded."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self._policy.drain_seconds)
        for partition in revoked:
            self._positions.pop(partition, None)
            with contextlib.suppress(KeyError):
                metrics.LAG.remove(partition.topic, str(partition.partition))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Say what we read. Nothing seeks here: records may arrive before this ends."""
        self._log.info("assigned", partitions=sorted(f"{p.topic}/{p.partition}" for p in assigned))

    async def drain(self) -> None:
        """Take nothing more; wait, bounded, until the batch in hand is committed and the group left."""
        self.stopping.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), self._policy.drain_seconds)
