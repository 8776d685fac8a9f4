"""The comparison of the ledger with Kafka while Kafka, or some partitions, do not answer."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from runtime.database.ledger import Ledger, LedgerEntries, LedgerEntry
from runtime.failures import DependencyUnavailable, Failure
from runtime.kafka.reconcile import Comparison, Reconciler
from runtime.kafka.watchdog import Watchdog
from runtime.settings import Kafka
from tests.support.database.fake_ledger import OneEntry
from tests.support.kafka.consuming import make_consumer
from tests.support.kafka.fake_kafka import OTHER_PARTITION, PARTITION, FakeConsumer
from tests.support.wait import eventually

KAFKA = Kafka.model_validate({"bootstrap_servers": "localhost:1"})


class CountingHandler:
    """A handler that counts its records in a ledger with the entry at offset 0."""

    def __init__(self) -> None:
        self.ledger, self.handled, self.missing = Ledger("persister"), list[int](), 0
        self._sql = OneEntry()
        self._sql.next_offset = 0
        self.ledger._sql = self._sql

    async def handle(self, records: Sequence[Any]) -> None:
        entries = await self.ledger.lock(cast("Any", None), records)
        for record in records:
            entries.count(record, "stored")
        self.missing += entries["t", 0].missing
        self._sql.next_offset = entries["t", 0].new_next_offset
        self.handled += [record.offset for record in records]

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)


class FailingReconciler:
    """A reconciler without differences, whose second comparison finds no broker."""

    comparisons = 0

    async def run(self, *_: Any) -> Comparison:
        self.comparisons += 1
        if self.comparisons == 2:
            raise DependencyUnavailable("kafka", "unavailable")
        return Comparison({}, ())


async def test_regression_records_return_if_comparison_fails() -> None:
    # They were counted as missing, and never read, although Kafka had them.
    kafka, handler, reconciler = FakeConsumer(end=5), CountingHandler(), FailingReconciler()
    kafka.positions[PARTITION] = 3  # the database was rolled back to 0, and the commit is not above that
    consumer, _ = make_consumer(kafka)
    running = asyncio.create_task(consumer.run(handler, cast("Reconciler", reconciler)))

    async def handled() -> list[int]:
        return handler.handled

    await eventually(handled, until=lambda offsets: offsets[-1:] == [4], what="the last record")
    assert (handler.handled, handler.missing) == (list(range(5)), 0)
    assert reconciler.comparisons == 3
    await consumer.drain()
    await running


class LeaderlessConsumer(FakeConsumer):
    """Two partitions; the second one has no leader until `leads`, so aiokafka repeats its requests."""

    def __init__(self, end: int) -> None:
        super().__init__(end, partitions=2)
        self.leads = asyncio.Event()

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if OTHER_PARTITION in partitions:
            await self.leads.wait()
        return await super().beginning_offsets(partitions)

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if OTHER_PARTITION in partitions:
            await self.leads.wait()
        return await super().end_offsets(partitions)


class FakeLedger(Ledger):
    """A ledger with both partitions at offset 0."""

    async def read(self, *_: Any) -> LedgerEntries:
        return LedgerEntries({each: LedgerEntry(1, 0) for each in (PARTITION, OTHER_PARTITION)})


class AcceptingHandler:
    """A handler that accepts every record."""

    async def handle(self, records: Sequence[Any]) -> None:
        await asyncio.sleep(0)

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)


@pytest.fixture
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use short timeouts and no database."""

    @asynccontextmanager
    async def transaction(_: Any) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr("runtime.kafka.reconcile.transaction", transaction)
    monkeypatch.setattr("runtime.kafka.reconcile.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("runtime.kafka.watchdog.REQUEST_SECONDS", 0.1)
    monkeypatch.setattr("runtime.kafka.consumer.RETRY_SECONDS", 0.2, raising=False)


@pytest.mark.usefixtures("_short_waits")
async def test_regression_leaderless_partition_blocks_no_other() -> None:
    # No record of any partition was handled until the last one had a leader.
    kafka = LeaderlessConsumer(end=4)
    consumer, _ = make_consumer(kafka)
    reconciler = Reconciler(KAFKA, cast("Any", None), FakeLedger("persister"))
    running = asyncio.create_task(consumer.run(AcceptingHandler(), reconciler))

    async def committed() -> dict[int, int]:
        return {each.partition: offset for each, offset in kafka.committed_offsets.items()}

    await eventually(committed, until={0: 4}.__eq__, what="the partition that has a leader")
    assert kafka.positions[OTHER_PARTITION] == 0
    kafka.leads.set()
    await eventually(committed, until={0: 4, 1: 4}.__eq__, what="the other one, once it has a leader")
    await consumer.drain()
    await running


@pytest.mark.usefixtures("_short_waits")
async def test_reconcile_raises_if_no_partition_answers() -> None:
    kafka = LeaderlessConsumer(end=4)
    del kafka.positions[PARTITION]
    reconciler = Reconciler(KAFKA, cast("Any", None), FakeLedger("persister"))
    with pytest.raises(DependencyUnavailable, match="did not return its offsets"):
        await reconciler.run(cast("Any", kafka))


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("behind", [PARTITION, OTHER_PARTITION], ids=["with a leader", "without one"])
async def test_ledger_is_rebuilt_from_all_partitions_or_none(behind: TopicPartition) -> None:
    kafka = LeaderlessConsumer(end=4)
    kafka.committed_offsets[behind] = 3

    async def rebuild(_: Any) -> None:
        raise AssertionError("rebuilt")

    reconciler = Reconciler(KAFKA, cast("Any", None), FakeLedger("notifier"), rebuild)
    with pytest.raises(DependencyUnavailable, match="have no leader"):
        await reconciler.run(cast("Any", kafka))


@pytest.mark.usefixtures("_short_waits")
async def test_regression_lag_is_measured_despite_leaderless_partition() -> None:
    await Watchdog().check(cast("Any", LeaderlessConsumer(end=4)))
    assert REGISTRY.get_sample_value("fastcore_lag_records", {"topic": "t", "partition": "0"}) == 4


class EndsReader(FakeConsumer):
    """A consumer whose broker first answers with these ends of the log, one after the other."""

    def __init__(self, *ends: int) -> None:
        super().__init__(end=4)
        self.first_ends = list(ends)

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if self.first_ends:
            return dict.fromkeys(partitions, self.first_ends.pop(0))
        return await super().end_offsets(partitions)


class EpochLedger(Ledger):
    """A ledger that has counted the offsets 0 to 3, and remembers the epochs that are opened."""

    def __init__(self) -> None:
        super().__init__("persister")
        self.opened = list[tuple[int, int]]()

    async def read(self, *_: Any) -> LedgerEntries:
        return LedgerEntries({PARTITION: LedgerEntry(1, 4)})

    async def open_epoch(self, _: Any, partition: tuple[str, int], epoch: int, base_offset: int) -> None:
        self.opened.append((epoch, base_offset))


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize(("ends", "opened"), [((2,), []), ((2, 2), [(2, 0)])])
async def test_new_epoch_needs_two_looks_that_agree(ends: tuple[int, ...], opened: list[Any]) -> None:
    # A new epoch makes the stage read its whole log again.
    kafka, ledger = EndsReader(*ends), EpochLedger()
    kafka.committed_offsets[PARTITION] = 4
    reconciler = Reconciler(KAFKA, cast("Any", None), ledger)
    comparison = await reconciler.run(cast("Any", kafka))
    assert ledger.opened == opened
    assert comparison.targets == dict.fromkeys([PARTITION][: len(opened)], 0)


class NewLogLedger(Ledger):
    """A ledger for which another member resets the group to a new log and opens its epoch, before a read."""

    def __init__(self, kafka: FakeConsumer) -> None:
        super().__init__("notifier")
        self._kafka = kafka

    async def read(self, *_: Any) -> LedgerEntries:
        self._kafka.committed_offsets[PARTITION] = 0
        return LedgerEntries({PARTITION: LedgerEntry(2, 0)})


@pytest.mark.usefixtures("_short_waits")
async def test_regression_new_log_of_another_member_is_no_rollback() -> None:
    # The notifier wrote that the emails of the new log's first records were sent.
    rebuilt = list[Any]()

    async def rebuild(positions: Any) -> None:
        rebuilt.append(positions[PARTITION].behind)

    kafka = FakeConsumer(end=4)
    kafka.committed_offsets[PARTITION] = 3  # of the old log
    reconciler = Reconciler(KAFKA, cast("Any", None), NewLogLedger(kafka), rebuild)
    await reconciler.run(cast("Any", kafka))
    assert rebuilt == [0]
