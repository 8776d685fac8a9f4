"""Compares a stage's ledger with its group and with the logs, and repairs what differs.

The database may be an older one (a promoted asynchronous standby, a restored backup): then the group has
committed records that the ledger lacks. The log may be another one (it lost its tail, or was made anew):
then the offsets of the ledger say nothing about it. Nothing here depends on what a record means.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime import metrics
from runtime.database.ledger import Ledger, LedgerEntries, fingerprint
from runtime.database.postgres import Connection, Pool, transaction
from runtime.failures import DependencyUnavailable
from runtime.kafka.log_offsets import fetch_offsets
from runtime.kafka.log_reader import LOOK_SECONDS, read_records_at
from runtime.kafka.positions import Position
from runtime.logs import logger
from runtime.settings import Kafka

# Whether a database was rolled back unnoticed (a pooler hides a failover) is known within this time.
INTERVAL_SECONDS: Final = 60.0
COMMIT_SECONDS: Final = 10.0
# When partitions that did not answer are compared again. Each time the stage waits LOOK_SECONDS for them.
RETRY_SECONDS: Final = 15.0

Positions = dict[TopicPartition, Position]
# Brings the ledger up to the group's commits without handling the records again.
Rebuild = Callable[[Positions], Awaitable[None]]


class Comparison(NamedTuple):
    """Where the group must go back to. No record of a silent partition may be taken: it was not compared."""

    targets: dict[TopicPartition, int]
    silent: Collection[TopicPartition]


class Reconciler:
    """Repairs the ledger of one stage, for the partitions that a consumer has.

    `rebuild` is for a stage whose effects cannot be repeated; without it the group goes back to what the
    ledger lacks. `by_time` names topics of which a new log is read from the ledger's last record on and not
    from its start: their records do not bear a repeat long after.
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

    async def run(
        self, consumer: AIOKafkaConsumer, other_logs: Collection[tuple[str, int]] = ()
    ) -> Comparison:
        """Repair what differs. Raises `DependencyUnavailable`, also where no partition answers.

        `other_logs` are partitions of which a record was seen that cannot be of the ledger's log.
        """
        assigned = consumer.assignment()
        try:
            positions = await self.positions(consumer, assigned)
        except (KafkaError, OSError, TimeoutError) as error:
            raise DependencyUnavailable(
                "kafka", f"kafka does not tell its offsets ({type(error).__name__})"
            ) from error
        others = {
            each: await self._resume(consumer, each, position)
            for each, position in positions.items()
            if position.is_another_log or (each in other_logs and position.page)
        }
        same = {each: position for each, position in positions.items() if each not in others}
        # A new log's commit goes before its epoch: a commit of the old log says nothing about the new one.
        await _commit(consumer, others)
        if others or any(position.page is None or position.expired for position in same.values()):
            async with transaction(self._pool) as connection:
                await self._repair(connection, positions, others)
        for partition, offset in others.items():
            self._report("log", partition, positions[partition], offset)
        back = await self._go_back(same)
        await _commit(consumer, back)
        silent = assigned - positions.keys()
        if silent:
            self._log.warning(
                "partitions without a leader wait: check the brokers",
                partitions=sorted(f"{each.topic}/{each.partition}" for each in silent),
            )
        return Comparison(others | back, silent)

    async def positions(self, consumer: AIOKafkaConsumer, assigned: Collection[TopicPartition]) -> Positions:
        """Return where the stage stands in each of these partitions that answers."""
        if not assigned:
            return {}
        # The commits before the ledger, the ends after it: each can only grow meanwhile.
        async with asyncio.timeout(LOOK_SECONDS):
            committed = {each: await consumer.committed(each) for each in assigned}
        starts = await fetch_offsets(consumer.beginning_offsets, assigned, LOOK_SECONDS)
        async with transaction(self._pool) as connection:
            pages: LedgerEntries = await self._ledger.read(connection, assigned)
        ends = await fetch_offsets(consumer.end_offsets, starts, LOOK_SECONDS)
        if not ends:
            raise TimeoutError
        positions = await read_positions(self._kafka, pages, committed, starts, ends)
        silent = {
            each: Position(pages.get(each), committed[each], 0, 0) for each in assigned if each not in ends
        }
        if self._rebuild and silent and any(each.behind for each in (*positions.values(), *silent.values())):
            # Leads are rebuilt before their retries, whatever partitions these are in.
            raise DependencyUnavailable(
                "kafka", "partitions have no leader, and the ledger is behind the group"
            )
        return positions

    async def _resume(self, consumer: AIOKafkaConsumer, partition: TopicPartition, at: Position) -> int:
        """Return where a new log is read from: ids tell what is known, so a repeat does no harm."""
        if partition.topic not in self._by_time or at.page is None or at.page.last_record is None:
            return at.start
        after = int(at.page.last_record.partition("/")[0])
        try:
            found = await asyncio.wait_for(consumer.offsets_for_times({partition: after}), LOOK_SECONDS)
        except (KafkaError, TimeoutError) as error:
            raise DependencyUnavailable("kafka", "kafka does not tell its offsets") from error
        return found[partition].offset if found.get(partition) else at.end

    async def _repair(
        self, connection: Connection, positions: Positions, others: dict[TopicPartition, int]
    ) -> None:
        for partition, position in positions.items():
            page = position.page
            if page is None:
                await self._ledger.open(connection, partition, 1, position.start)
            elif partition in others:
                await self._ledger.open(connection, partition, page.epoch + 1, others[partition])
            elif position.expired:
                await self._ledger.count_expired(connection, partition, page, position.start)

    async def _go_back(self, positions: Positions) -> dict[TopicPartition, int]:
        behind = {each: position for each, position in positions.items() if position.behind}
        for partition, position in behind.items():
            self._report("database", partition, position, position.next_offset)
        if self._rebuild is None:
            return {each: position.next_offset for each, position in behind.items()}
        await self._rebuild(positions)
        return {each: position.committed or position.next_offset for each, position in behind.items()}

    def _report(self, cause: str, partition: TopicPartition, position: Position, offset: int) -> None:
        metrics.LEDGER_REWINDS.labels(cause=cause).inc()
        self._log.error(
            "Ledger behind the group: the database was rolled back"
            if cause == "database"
            else "Log lost its tail, or is another one",
            topic=partition.topic,
            partition=partition.partition,
            next_offset=position.page.next_offset if position.page else None,
            committed=position.committed,
            log_start=position.start,
            log_end=position.end,
            reads_from=offset,
        )


async def read_positions(
    kafka: Kafka,
    pages: LedgerEntries,
    committed: Mapping[TopicPartition, int | None],
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Positions:
    """Return the position of each partition in `ends`, with the log's record at the ledger's last offset.

    Raises what aiokafka raises, and `TimeoutError`.
    """
    last = {
        each: page.next_offset - 1
        for each in ends
        if (page := pages.get(each)) and page.last_record and starts[each] < page.next_offset <= ends[each]
    }
    found = await read_records_at(kafka, last)
    return {
        each: Position(
            pages.get(each),
            committed[each],
            starts[each],
            ends[each],
            fingerprint(found[each]) if each in found else None,
        )
        for each in ends
    }


async def _commit(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
    """Set the group to these offsets, so that its lag shows what it takes again."""
    if not offsets:
        return
    try:
        await asyncio.wait_for(consumer.commit(offsets), COMMIT_SECONDS)
    except (KafkaError, TimeoutError) as error:
        raise DependencyUnavailable("kafka", "kafka did not take a commit") from error
