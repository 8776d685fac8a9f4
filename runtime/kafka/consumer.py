"""The one way that records are taken from Kafka. No decision about a record's meaning lives here.

FastStream's own loop commits past what failed, skips a batch with an odd header and rewinds without
a delay (see docs/decisions/0003); so its subscriber has no handler, and this loop reads its consumer:
commits of what was handled, a pause on a fault of the world, bisection on a fault of the data.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from runtime import metrics
from runtime.failures import DependencyUnavailable, PartitionsBusy, RewindRequired
from runtime.health import Health
from runtime.kafka.batch_processor import Batch, BatchProcessor, Handler
from runtime.kafka.offset_commits import OffsetCommits
from runtime.kafka.policy import Policy
from runtime.kafka.polling import Polling
from runtime.kafka.reconcile import INTERVAL_SECONDS, RETRY_SECONDS, Reconciler
from runtime.kafka.watchdog import Watchdog
from runtime.logs import logger
from runtime.tracing.spans import consumer_span
from runtime.workarounds.aiokafka_rebootstrap import ask_brokers
from runtime.workarounds.aiokafka_stop import close_for_good


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
        self._watch = Watchdog(self._policy.silence_seconds)
        self._stopped = asyncio.Event()
        self._pauses_in_a_row = 0
        self._commits = OffsetCommits(self._policy.commit_seconds)
        self._reconciler: Reconciler | None = None
        self._compare_at = 0.0
        self._compared: Collection[TopicPartition] = ()
        self._subscriber = broker.subscriber(
            *(prefix + topic for topic in topics),
            group_id=prefix + group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._policy.session_seconds * 1000),
            rebalance_timeout_ms=int(self._policy.rebalance_seconds * 1000),
            fetch_max_wait_ms=int(self._policy.fetch_wait_seconds * 1000),
            max_poll_interval_ms=int(self._policy.max_poll_seconds * 1000),
            listener=self,
        )
        self._polling = Polling(self._subscriber, self._policy, self._watch, health)
        health.set("consumer", ok=False, reason="connecting")
        health.check("kafka", self._check_kafka)

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        return self._polling.consumer

    async def _check_kafka(self) -> None:
        """Return if a broker answers the consumer now. Raises `DependencyUnavailable`."""
        consumer = self._subscriber.consumer
        if consumer is None:
            raise DependencyUnavailable("kafka", "connecting")
        await ask_brokers(consumer._client)  # noqa: SLF001 - aiokafka hides it

    async def run(self, handler: Handler, reconciler: Reconciler | None = None) -> None:
        """Hand batches to `handler` until `stopping` is set; come back from every loss of the broker.

        `reconciler` compares the ledger with Kafka first, and whenever either may have changed.
        """
        self._handler, self._reconciler, attempt = handler, reconciler, 0
        try:
            while not self.stopping.is_set():
                try:
                    await asyncio.wait_for(self._broker.start(), self._policy.start_seconds)
                    self._watch.progressed()
                    attempt = 0
                    self._health.set("consumer", ok=True)
                    self._compare_at = 0.0
                    while not self.stopping.is_set():
                        await self._step()
                except (KafkaError, OSError, TimeoutError) as error:
                    self._health.set("consumer", ok=False, reason=f"kafka: {type(error).__name__}")
                    self._log.warning("kafka connection lost", reason=type(error).__name__)
                finally:
                    self._polling.ahead.clear()
                    await self._leave()
                await self._sleep(self._policy.backoff.seconds(attempt))
                attempt += 1
        finally:
            self._stopped.set()

    async def _leave(self) -> None:
        """End the last commit and leave the group: two fifths of the time each, and one for force."""
        fifth = self._policy.stop_seconds / 5
        try:
            await self._commits.flush(2 * fifth)
        finally:
            await self._disconnect(2 * fifth, fifth)

    async def _disconnect(self, seconds: float, by_force: float) -> None:
        """Stop the broker's consumer, by force where it does not stop in order: no member may stay behind."""
        consumer, stopped = self._subscriber.consumer, False
        try:
            await asyncio.wait_for(self._broker.stop(), seconds)
            stopped = True
        except Exception as error:  # noqa: BLE001 - FastStream wraps what it met in an ExceptionGroup
            self._log.warning("consumer not stopped in order", reason=type(error).__name__)
        finally:
            if consumer is not None and not stopped:
                await close_for_good(consumer, by_force)

    async def _step(self) -> None:
        await self._watch.look(self._consumer)
        if self._is_due() and not await self._compare():
            return
        records = await self._polling.take()
        if records:
            self._idle.clear()  # at once: a rebalance waits for these from the moment in which we have them
        self._polling.continuity.look(self._consumer)
        if self._is_due():  # the assignment or the log changed while we waited for these
            self._polling.put_back(records)
            self._idle.set()
            return
        if not records:
            return
        started = time.monotonic()
        delivery = BatchProcessor(self._handler, records, self._policy.backoff)
        try:
            with consumer_span(records):
                await self._polling.run(delivery.run(), room=self._policy.max_records)
        except RewindRequired as back:
            await self._go_back(delivery)
            # Before the comparison, which may fail: the next one does not know of these offsets.
            self._polling.seek({TopicPartition(*place): offset for place, offset in back.offsets.items()})
            back.confirm()
            self._log.warning("records do not continue the ledger", partitions=len(back.offsets))
            await self._compare(back.other_logs)
        except DependencyUnavailable as away:
            await self._go_back(delivery)
            self._idle.set()
            if away.dependency == "database":
                self._compare_at = 0.0  # it may come back as an older one
            await self._pause(away)
        else:
            if delivery.held:
                self._hold(delivery, delivery.held)
            else:
                self._settle(records)
            self._pauses_in_a_row = 0
            self._health.set("consumer", ok=True)
            metrics.BATCH_SECONDS.observe(time.monotonic() - started)
        finally:
            self._watch.progressed()
            self._idle.set()

    def _is_due(self) -> bool:
        """Return True where the ledger must be compared with Kafka before more records are handled."""
        if self._reconciler is None:
            return False
        due = self._polling.continuity.broken or time.monotonic() >= self._compare_at
        return due or self._consumer.assignment() != self._compared

    async def _compare(self, other_logs: Collection[tuple[str, int]] = ()) -> bool:
        """Have the ledger compared with Kafka, and go back where it says so; False where the stage paused.

        Partitions that could not be compared wait for the next comparison, which then comes early.
        """
        if self._reconciler is None:
            return True
        self._idle.clear()
        self._compare_at = 0.0  # until it succeeds no record is handled
        assigned = self._consumer.assignment()
        try:
            await self._commits.flush(self._policy.commit_seconds)  # none may come after the reconciler's
            targets, silent = await self._polling.run(self._reconciler.run(self._consumer, other_logs))
        except DependencyUnavailable as away:
            self._idle.set()
            await self._pause(away)
            self._watch.progressed()
            return False
        finally:
            self._idle.set()
        if targets:
            self._watch.progressed()
        self._polling.put_back()
        self._polling.seek(targets)
        seconds = RETRY_SECONDS if silent else INTERVAL_SECONDS
        self._compare_at, self._compared = time.monotonic() + seconds, assigned
        if silent:  # held until a comparison is due: not a moment less
            self._polling.hold(silent, seconds, ())
        self._polling.continuity.checked(self._consumer)
        return True

    def _settle(self, records: Batch) -> None:
        """Have these committed, which are done."""
        self._commits.add(self._consumer, records)
        metrics.BATCH_RECORDS.observe(len(records))
        for topic, count in Counter(record.topic for record in records).items():
            metrics.RECORDS.labels(topic=topic).inc(count)

    async def _go_back(self, delivery: BatchProcessor) -> None:
        """Commit the records that are done, and go back for the others and all that came after."""
        done, again = delivery.split()
        if done:
            self._settle(done)
        await self._commits.flush(self._policy.commit_seconds)
        self._polling.put_back(again)

    def _hold(self, delivery: BatchProcessor, held: PartitionsBusy) -> None:
        """Commit the records that are done, and let the partitions of the others wait. The rest goes on."""
        done, again = delivery.split()
        if done:
            self._settle(done)
        self._polling.hold(held.offsets, held.seconds, again)
        self._log.info(
            "partitions wait for another process",
            partitions=len(held.offsets),
            seconds=round(held.seconds, 1),
        )

    def holds(self, topic: str, partition: int) -> bool:
        """Return True where the group has given us this partition."""
        return self._polling.holds(topic, partition)

    async def _pause(self, away: DependencyUnavailable) -> None:
        seconds = self._policy.backoff.seconds(self._pauses_in_a_row)
        self._pauses_in_a_row += 1
        metrics.PAUSES.labels(part=away.dependency).inc()
        self._health.set("consumer", ok=False, reason=f"paused: {away.reason}")
        self._log.warning("paused", part=away.dependency, reason=away.reason, seconds=round(seconds, 1))
        with contextlib.suppress(KafkaError):
            await self._polling.run(self._sleep(seconds))

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    async def on_partitions_revoked(self, _: Collection[TopicPartition]) -> None:
        """Let the batch in hand end and commit before others get its partitions. Bounded."""
        self._polling.ahead.clear()  # nothing comes to it now: polls wait for the assignment
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self._policy.drain_seconds)
        await self._commits.flush(self._policy.stop_seconds)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Say what we read. Nothing seeks here: records may arrive before this ends."""
        self._compare_at = 0.0
        self._log.info("assigned", partitions=sorted(f"{p.topic}/{p.partition}" for p in assigned))

    async def drain(self) -> None:
        """Take nothing more; wait, bounded, until the batch in hand is committed and the group left."""
        self.stopping.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), self._policy.drain_seconds)
