"""Compares a stage's ledger with its consumer group and with the logs, and repairs differences.

A difference has one of three causes:
- The database was rolled back (a promoted asynchronous standby, a restored backup). The group has then
  committed records that the ledger has not counted.
- The log was replaced (it lost its last records, or the topic was created again). The ledger's offsets then
  refer to records that Kafka no longer has.
- Kafka deleted records before the stage read them. The ledger then counts them as missing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime import metrics
from runtime.database.ledger import Ledger, LedgerEntries, LedgerEntry
from runtime.database.postgres import Connection, Pool, transaction
from runtime.failures import DependencyUnavailable
from runtime.kafka.log_reader import LOOK_SECONDS
from runtime.kafka.positions import Position, Positions, read_positions
from runtime.logs import logger
from runtime.settings import Kafka
from runtime.workarounds.aiokafka_offsets import fetch_committed, fetch_offsets

# A rolled-back database is detected within this time, even if a pooler hides the failover.
INTERVAL_SECONDS: Final = 60.0
COMMIT_SECONDS: Final = 10.0
# When partitions that did not answer are compared again. Each comparison waits LOOK_SECONDS for them.
RETRY_SECONDS: Final = 15.0

# Brings the ledger up to the group's commits without processing the records again.
Rebuild = Callable[[Positions], Awaitable[None]]


class Comparison(NamedTuple):
    """The result of a comparison.

    The consumer must seek to the offsets in `targets`. The partitions in `silent` did not answer and were not
    compared. So their records must not be processed yet.
    """

    targets: dict[TopicPartition, int]
    silent: Collection[TopicPartition]


class ReconcileSchedule:
    """Decides when the ledger must be compared with Kafka before any further record is processed."""

    def __init__(self, reconciler: "Reconciler | None") -> None:
        self.reconciler = reconciler
        self._due_at = 0.0  # monotonic
        self._compared: Collection[TopicPartition] = ()

    def make_due(self) -> None:
        """Require a comparison before the next batch."""
        self._due_at = 0.0

    def is_due(self, consumer: AIOKafkaConsumer, *, gap_found: bool) -> bool:
        """Return True if a comparison is required now. Without a reconciler, always return False.

        `gap_found` is `FetchGaps.found`.
        """
        if self.reconciler is None:
            return False
        due = gap_found or time.monotonic() >= self._due_at
        return due or consumer.assignment() != self._compared

    def postpone(self, seconds: float, compared: Collection[TopicPartition]) -> None:
        """Make the next comparison due in `seconds`, or as soon as the assignment differs from `compared`."""
        self._due_at, self._compared = time.monotonic() + seconds, compared


class Reconciler:
    """Repairs the ledger of one stage, for the partitions that are assigned to a consumer.

    After a rollback of the database, the group is rewound to the first record that the ledger has not
    counted. The records are then processed again. If that must not happen, for example because it would send
    emails twice, the stage passes `rebuild`: this function updates the ledger from Kafka instead.

    If a log was replaced, the new log is read from its start. The topics in `by_time` are an exception,
    because their old records must not be processed again. They are read from the time of the last counted
    record.
    """

    def __init__(
        self,
        kafka: Kafka,
        pool: Pool,
        ledger: Ledger,
        rebuild: Rebuild | None = None,
        by_time: Collection[str] = (),
    ) -> None:
        self._kafka = kafka
        self._pool = pool
        self._ledger = ledger
        self._rebuild = rebuild
        self._by_time = {kafka.topic_prefix + name for name in by_time}
        self._log = logger("reconcile")
        for cause in ("database", "log"):
            metrics.LEDGER_REWINDS.labels(cause=cause)

    async def run(self, consumer: AIOKafkaConsumer) -> Comparison:
        """Compare the ledger with Kafka, repair the ledger, and return where the consumer must seek to.

        Raises `DependencyUnavailable` if Kafka or the database is unavailable, or if no partition answers.
        """
        assigned = consumer.assignment()
        positions = await self._positions_or_unavailable(consumer, assigned)
        if any(position.is_another_log for position in positions.values()):
            # A new log is read again from its start, so a second comparison must confirm it.
            positions = await self._positions_or_unavailable(consumer, assigned)
        new_logs = {
            each: await self._first_offset_of_new_log(consumer, each, position)
            for each, position in positions.items()
            if position.is_another_log
        }
        same_logs = {each: position for each, position in positions.items() if each not in new_logs}
        # Commit the new log's offset before its epoch is opened: the offset that the group has committed
        # belongs to the old log.
        await _commit(consumer, new_logs)
        if new_logs or any(position.entry is None or position.expired for position in same_logs.values()):
            async with transaction(self._pool) as connection:
                await self._repair(connection, positions, new_logs)
        for partition, offset in new_logs.items():
            self._report_rewind("log", partition, positions[partition], offset)
        rewound = await self._rewind_group(same_logs)
        await _commit(consumer, rewound)
        silent = assigned - positions.keys()
        if silent:
            self._log.warning(
                "partitions without a leader wait: check the brokers",
                partitions=sorted(f"{each.topic}/{each.partition}" for each in silent),
            )
        return Comparison(new_logs | rewound, silent)

    async def _positions_or_unavailable(
        self, consumer: AIOKafkaConsumer, assigned: Collection[TopicPartition]
    ) -> Positions:
        try:
            return await self.positions(consumer, assigned)
        except (KafkaError, OSError, TimeoutError) as error:
            raise DependencyUnavailable(
                "kafka", f"kafka did not return its offsets ({type(error).__name__})"
            ) from error

    async def positions(self, consumer: AIOKafkaConsumer, assigned: Collection[TopicPartition]) -> Positions:
        """Return the stage's position in each assigned partition.

        Partitions that do not answer are left out.
        """
        if not assigned:
            return {}
        # Read the commits before the ledger, and the ends after it: each can only grow meanwhile.
        async with asyncio.timeout(LOOK_SECONDS):
            committed = await fetch_committed(consumer, assigned)
        starts = await fetch_offsets(consumer.beginning_offsets, assigned, LOOK_SECONDS)
        async with transaction(self._pool) as connection:
            entries: LedgerEntries = await self._ledger.read(connection, assigned)
        ends = await fetch_offsets(consumer.end_offsets, starts, LOOK_SECONDS)
        if not ends:
            raise TimeoutError
        if any(_is_behind(committed[each], entries.get(each)) for each in assigned):
            # Another member may have committed the start of a new log, and then opened its epoch, between
            # both. Only a commit that is still above the ledger shows that the database was rolled back.
            async with asyncio.timeout(LOOK_SECONDS):
                again = await fetch_committed(consumer, assigned)
            committed = {each: _lower(offset, again[each]) for each, offset in committed.items()}
        positions = await read_positions(self._kafka, entries, committed, starts, ends)
        silent = {
            each: Position(entries.get(each), committed[each], 0, 0) for each in assigned if each not in ends
        }
        if self._rebuild and silent and any(each.behind for each in (*positions.values(), *silent.values())):
            # The rebuild reads all leads before their retries, so it needs every partition.
            raise DependencyUnavailable(
                "kafka", "partitions have no leader, and the ledger is behind the group"
            )
        return positions

    async def _first_offset_of_new_log(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, position: Position
    ) -> int:
        """Return the offset from which a new log is read.

        Reading a record again does no harm: it is recognized by its id.
        """
        last_record = position.entry.last_record if position.entry else None
        if partition.topic not in self._by_time or last_record is None:
            return position.start
        timestamp = int(last_record.partition("/")[0])
        try:
            offsets = await asyncio.wait_for(consumer.offsets_for_times({partition: timestamp}), LOOK_SECONDS)
        except (KafkaError, TimeoutError) as error:
            raise DependencyUnavailable("kafka", "kafka did not return its offsets") from error
        return offsets[partition].offset if offsets.get(partition) else position.end

    async def _repair(
        self, connection: Connection, positions: Positions, new_logs: dict[TopicPartition, int]
    ) -> None:
        """Open missing ledger entries and new epochs, and count expired records as missing."""
        for partition, position in positions.items():
            entry = position.entry
            if entry is None:
                await self._ledger.open_epoch(connection, partition, 1, position.start)
            elif partition in new_logs:
                await self._ledger.open_epoch(connection, partition, entry.epoch + 1, new_logs[partition])
            elif position.expired:
                await self._ledger.count_expired(connection, partition, entry, position.start)

    async def _rewind_group(self, positions: Positions) -> dict[TopicPartition, int]:
        """Return the offsets to commit for the partitions whose ledger was rolled back.

        If the stage has `rebuild`, rebuild the ledger instead of rewinding the group.
        """
        behind = {each: position for each, position in positions.items() if position.behind}
        for partition, position in behind.items():
            self._report_rewind("database", partition, position, position.next_offset)
        if self._rebuild is None:
            return {each: position.next_offset for each, position in behind.items()}
        await self._rebuild(positions)
        return {each: position.committed or position.next_offset for each, position in behind.items()}

    def _report_rewind(self, cause: str, partition: TopicPartition, position: Position, offset: int) -> None:
        metrics.LEDGER_REWINDS.labels(cause=cause).inc()
        self._log.error(
            "Ledger behind the group: the database was rolled back"
            if cause == "database"
            else "Log lost its tail, or is another one",
            topic=partition.topic,
            partition=partition.partition,
            next_offset=position.entry.next_offset if position.entry else None,
            counted_record=position.entry.last_record if position.entry else None,
            log_record=position.log_record,
            committed=position.committed,
            log_start=position.start,
            log_end=position.end,
            reads_from=offset,
        )


def _is_behind(committed: int | None, entry: LedgerEntry | None) -> bool:
    return committed is not None and entry is not None and committed > entry.next_offset


def _lower(first: int | None, second: int | None) -> int | None:
    """Return the lower of two committed offsets, or None if the group has none."""
    return None if first is None or second is None else min(first, second)


async def _commit(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
    """Commit these offsets for the group, so that its lag includes the records that are read again."""
    if not offsets:
        return
    try:
        await asyncio.wait_for(consumer.commit(offsets), COMMIT_SECONDS)
    except (KafkaError, TimeoutError) as error:
        raise DependencyUnavailable("kafka", "kafka did not take a commit") from error
