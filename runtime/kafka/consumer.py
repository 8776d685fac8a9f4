"""The consumer loop of every consuming service. It does not know what a record means."""

import asyncio
import contextlib
import time
from collections.abc import Collection

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from runtime import metrics
from runtime.failures import DependencyUnavailable, RewindRequired
from runtime.health import Health
from runtime.kafka.batch_processor import BatchProcessor
from runtime.kafka.connection import GroupConnection
from runtime.kafka.handler import Batch, Handler
from runtime.kafka.offset_commits import OffsetCommits
from runtime.kafka.policy import Policy
from runtime.kafka.prefetch import Prefetcher
from runtime.kafka.reconcile import INTERVAL_SECONDS, RETRY_SECONDS, Reconciler, ReconcileSchedule
from runtime.kafka.watchdog import Watchdog
from runtime.logs import logger
from runtime.tracing.spans import consumer_span


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads the topics of one group and hands batches to a handler, at least once and in order.

    Its components: `GroupConnection` joins and leaves the group, `Prefetcher` polls, pauses and rewinds,
    `BatchProcessor` isolates failing records, `OffsetCommits` commits, `Watchdog` detects a stalled consumer.

    | state | ends when | next state |
    |---|---|---|
    | connecting | the group is joined | comparing |
    | comparing (skipped without a reconciler) | the ledger fits Kafka, or is repaired: seek | polling |
    | | `DependencyUnavailable` | paused, then comparing |
    | polling | records arrived | processing |
    | | a minute has passed, the assignment changed, or `FetchGaps` found a gap | comparing |
    | processing | all records are completed: commit them | polling |
    | | `PartitionsBusy`: commit the completed records, pause these partitions only | polling |
    | | `RewindRequired`: commit the completed records, seek to the error's offsets | comparing |
    | | `DependencyUnavailable`: commit the completed records, seek back to the rest | paused |
    | paused (remains in the group) | the backoff is over | polling, or comparing after a database fault |
    | any of these | `KafkaError`, `OSError`, `TimeoutError` | leaving, a backoff, then connecting |
    | | `stopping` is set: the current batch is finished first | leaving, then stopped |
    | | `ConsumerStalled`, or a bug: `run` raises it, which ends the process | leaving, then stopped |
    | leaving | offsets are committed and the group is left, each within a timeout | as above |

    When a rebalance revokes partitions, the consumer drops the prefetched records. It finishes and commits
    the batch in progress before other members get the partitions. `Policy` limits the duration of each step.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Collection[str],
        group: str,
        health: Health,
        policy: Policy | None = None,
        prefix: str = "",
    ) -> None:
        self._health = health
        self._policy = policy or Policy()
        self._log = logger("consume")
        self._idle = asyncio.Event()  # no batch or comparison is in progress
        self._idle.set()
        self.stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._watchdog = Watchdog(self._policy.silence_seconds)
        self._commits = OffsetCommits(self._policy.commit_seconds)
        self._reconciliation = ReconcileSchedule(None)
        names = [prefix + topic for topic in topics]
        self._connection = GroupConnection(broker, names, prefix + group, self._policy, self)
        self._prefetcher = Prefetcher(self._connection, self._policy, self._watchdog, health)
        health.set("consumer", ok=False, reason="connecting")
        health.check("kafka", self._connection.check)

    async def run(self, handler: Handler, reconciler: Reconciler | None = None) -> None:
        """Hand batches to `handler` until `stopping` is set; reconnect after every loss of the broker.

        `reconciler` compares the ledger with Kafka before the first batch, and again whenever the database or
        the log may have been replaced. Raises `ConsumerStalled`, and any unexpected exception.
        """
        self._reconciliation, attempt = ReconcileSchedule(reconciler), 0
        try:
            while not self.stopping.is_set():
                try:
                    await self._connection.join(self._prefetcher.record_fetch)
                    self._watchdog.record_progress()
                    attempt = 0
                    self._health.set("consumer", ok=True)
                    self._reconciliation.make_due()
                    while not self.stopping.is_set():
                        await self._step(handler)
                except (KafkaError, OSError, TimeoutError) as error:
                    self._health.set("consumer", ok=False, reason=f"kafka: {type(error).__name__}")
                    self._log.warning("kafka connection lost", reason=type(error).__name__)
                finally:
                    self._prefetcher.discard()
                    await self._leave_group()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopping.wait(), self._policy.backoff.seconds(attempt))
                attempt += 1
        finally:
            self._stopped.set()

    async def drain(self) -> None:
        """Read no more records. Commit the current batch and leave the group, within a timeout."""
        self.stopping.set()
        self._prefetcher.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), self._policy.drain_seconds)

    def is_assigned(self, topic: str, partition: int) -> bool:
        """Return True if the group has assigned this partition to this consumer."""
        return self._connection.is_assigned(topic, partition)

    async def on_partitions_revoked(self, _: Collection[TopicPartition]) -> None:
        """Finish and commit the current batch, within a timeout, before other members get its partitions."""
        self._prefetcher.discard()  # no new records are prefetched now: polls wait for the assignment
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self._policy.drain_seconds)
        await self._commits.flush(self._policy.stop_seconds)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Log the assignment, and require a comparison of the ledger with Kafka before the next batch.

        It does not seek, because records may arrive before this method ends.
        """
        self._reconciliation.make_due()
        self._log.info("assigned", partitions=sorted(f"{p.topic}/{p.partition}" for p in assigned))

    async def _leave_group(self) -> None:
        """Finish the last commit, then leave the group.

        Each may use two fifths of the stop time. The last fifth is for closing the consumer by force.
        """
        fifth = self._policy.stop_seconds / 5
        try:
            await self._commits.flush(2 * fifth)
        finally:
            await self._connection.leave(2 * fifth, fifth)

    async def _step(self, handler: Handler) -> None:
        """Compare the ledger with Kafka if that is due, then get one batch and process it."""
        await self._watchdog.check(self._connection.consumer)
        if self._is_comparison_due() and not await self._compare():
            return
        records = await self._prefetcher.next_batch()
        if records:
            self._idle.clear()  # at once: from this moment a rebalance must wait for these records
        self._prefetcher.gaps.update(self._connection.consumer)
        if self._is_comparison_due():  # the assignment or the log changed while this waited for records
            self._prefetcher.rewind(records)
            self._idle.set()
            return
        if records:
            await self._process(handler, records)

    async def _process(self, handler: Handler, records: Batch) -> None:
        started = time.monotonic()
        batch = BatchProcessor(handler, records, self._policy.backoff)
        try:
            with consumer_span(records):
                await self._prefetcher.run_while_polling(batch.run(), room=self._policy.max_records)
        except RewindRequired as rewind:
            await self._rewind(batch)
            # Before the comparison, which may fail: the next comparison does not know these offsets.
            self._prefetcher.seek({TopicPartition(*each): offset for each, offset in rewind.offsets.items()})
            rewind.confirm()
            self._log.warning("records do not continue the ledger", partitions=len(rewind.offsets))
            await self._compare()
        except DependencyUnavailable as error:
            await self._rewind(batch)
            self._idle.set()
            if error.dependency == "database":
                self._reconciliation.make_due()  # it may come back as an older database
            await self._prefetcher.pause_all(error, self.stopping)
        else:
            redelivered = self._commit_completed(batch)
            if batch.busy:
                self._prefetcher.pause(batch.busy.offsets, batch.busy.seconds, redelivered)
                self._log.info(
                    "partitions wait for another process",
                    partitions=len(batch.busy.offsets),
                    seconds=round(batch.busy.seconds, 1),
                )
            self._prefetcher.reset_backoff()
            self._health.set("consumer", ok=True)
            metrics.BATCH_SECONDS.observe(time.monotonic() - started)
        finally:
            self._watchdog.record_progress()
            self._idle.set()

    def _is_comparison_due(self) -> bool:
        gap_found = self._prefetcher.gaps.found
        return self._reconciliation.is_due(self._connection.consumer, gap_found=gap_found)

    async def _compare(self) -> bool:
        """Compare the ledger with Kafka and rewind if necessary. Return False if the stage paused instead.

        Partitions that could not be compared stay paused until the next comparison, which is then 15 s later.
        """
        reconciler = self._reconciliation.reconciler
        if reconciler is None:
            return True
        self._idle.clear()
        self._reconciliation.make_due()  # until it succeeds no record is processed
        consumer = self._connection.consumer
        assigned = consumer.assignment()
        try:
            await self._commits.flush(self._policy.commit_seconds)  # none may follow the reconciler's commits
            work = reconciler.run(consumer)
            targets, silent = await self._prefetcher.run_while_polling(work)
        except DependencyUnavailable as error:
            self._idle.set()
            await self._prefetcher.pause_all(error, self.stopping)
            self._watchdog.record_progress()
            return False
        finally:
            self._idle.set()
        if targets:
            self._watchdog.record_progress()
        self._prefetcher.rewind()
        self._prefetcher.seek(targets)
        seconds = RETRY_SECONDS if silent else INTERVAL_SECONDS
        self._reconciliation.postpone(seconds, assigned)
        if silent:  # paused exactly until the next comparison
            self._prefetcher.pause(silent, seconds, ())
        self._prefetcher.gaps.confirm(consumer)
        return True

    def _commit_completed(self, batch: BatchProcessor) -> Batch:
        """Commit the completed records in the background; return the others, which must be redelivered."""
        completed, redelivered = batch.split()
        if completed:
            self._commits.add(self._connection.consumer, completed)
        return redelivered

    async def _rewind(self, batch: BatchProcessor) -> None:
        """Commit the completed records; seek back to the rest of the batch and to all prefetched records."""
        redelivered = self._commit_completed(batch)
        await self._commits.flush(self._policy.commit_seconds)
        self._prefetcher.rewind(redelivered)
