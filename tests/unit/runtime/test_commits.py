"""Offsets are committed beside the loop, and records read ahead of it: what may not be lost by either."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError
from faststream.kafka import KafkaBroker

from runtime.failures import Backoff, DependencyUnavailable, Failure, PartitionsBusy, RewindRequired
from runtime.health import Health
from runtime.kafka.batch_processor import Batch
from runtime.kafka.consumer import Consumer
from runtime.kafka.offset_commits import OffsetCommits
from runtime.kafka.policy import Policy
from tests.support.wait import eventually

PARTITION = TopicPartition("t", 0)


class Place(int):
    """A record that is only its place."""

    topic, partition, timestamp, key, headers = "t", 0, 1, None, ()

    @property
    def offset(self) -> int:
        return int(self)


class _Client:
    """A client of this fake's own: how long one has been silent is remembered for the process's life."""


class FakeKafka:
    """A consumer of one partition, and the broker that holds it. A commit ends when `free` is set."""

    def __init__(self, end: int = 0) -> None:
        self.end, self.position = end, 0
        self.asked: list[int] = []
        self.committed_to: list[int] = []
        self.under_way = self.most_under_way = 0
        self.free = asyncio.Event()
        self.refuse: Exception | None = None
        self.corrupt: Exception | None = None
        self._client = _Client()

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.asked.append(offsets[PARTITION])
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.free.wait()
            if self.refuse:
                raise self.refuse
            self.committed_to.append(offsets[PARTITION])
        finally:
            self.under_way -= 1

    async def getmany(self, timeout_ms: int = 0, max_records: int = 2) -> dict[TopicPartition, list[Place]]:
        if self.position and self.corrupt:
            corrupt, self.corrupt = self.corrupt, None
            raise corrupt
        found = [Place(each) for each in range(self.position, min(self.end, self.position + max_records))]
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        self.position += len(found)
        return {PARTITION: found}

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.position = offset

    def pause(self, *_: TopicPartition) -> None: ...

    def resume(self, *_: TopicPartition) -> None: ...

    def last_poll_timestamp(self, _: TopicPartition) -> int:
        return 1

    async def beginning_offsets(self, _: set[TopicPartition]) -> dict[TopicPartition, int]:
        return {PARTITION: 0}

    async def end_offsets(self, _: set[TopicPartition]) -> dict[TopicPartition, int]:
        return {PARTITION: self.end}

    async def committed(self, _: TopicPartition) -> int:
        return self.committed_to[-1] if self.committed_to else 0


class Around:
    """A broker that holds this consumer; `stopped_at` is what was committed when it was closed."""

    def __init__(self, consumer: FakeKafka) -> None:
        self.consumer = consumer
        self.stopped_at: list[int] | None = None

    def subscriber(self, *_: Any, **__: Any) -> "Around":
        return self

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped_at = list(self.consumer.committed_to)


class Busy:
    """A handler that ends a batch when it is let, and raises what it is told to, once."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let = asyncio.Event()
        self.error: Exception | None = None

    async def handle(self, records: Sequence[Any]) -> None:
        self.batches.append(list(map(int, records)))
        await self.let.wait()
        if self.error:
            error, self.error = self.error, None
            raise error

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)


def places(*offsets: int) -> Batch:
    return cast("Batch", [Place(each) for each in offsets])


def consuming(kafka: FakeKafka, **more: float) -> tuple[Consumer, Around]:
    policy = Policy(max_records=2, keepalive_seconds=0.01, backoff=Backoff(0.0, 0.0), **more)
    around = Around(kafka)
    return Consumer(cast("KafkaBroker", around), ["t"], "group", Health(), policy), around


async def test_one_commit_is_under_way_and_what_comes_meanwhile_is_one_more() -> None:
    kafka, commits = FakeKafka(), OffsetCommits(5)
    for offset in (0, 1, 2, 3):
        commits.add(cast("Any", kafka), places(offset))
        await asyncio.sleep(0)
    assert kafka.asked == [1]
    kafka.free.set()
    await commits.flush(5)
    assert (kafka.committed_to, kafka.most_under_way) == ([1, 4], 1)


async def test_a_commit_that_fails_is_told_and_the_next_one_goes_on() -> None:
    kafka, commits = FakeKafka(), OffsetCommits(5)
    kafka.free.set()
    kafka.refuse = KafkaError("not now")
    with structlog.testing.capture_logs() as told:
        commits.add(cast("Any", kafka), places(0))
        await commits.flush(5)
    assert [(each["event"], each["reason"]) for each in told] == [("offsets not committed", "KafkaError")]
    kafka.refuse = None
    commits.add(cast("Any", kafka), places(1))
    await commits.flush(5)
    assert kafka.committed_to == [2]


async def test_a_commit_that_hangs_is_given_up_with_what_waits_behind_it() -> None:
    kafka, commits = FakeKafka(), OffsetCommits(0.2)
    commits.add(cast("Any", kafka), places(0))
    await asyncio.sleep(0.1)
    commits.add(cast("Any", kafka), places(1))  # its commit begins when the first one is given up
    async with asyncio.timeout(1):
        await commits.flush(0.2)
    await asyncio.sleep(0.01)
    assert (kafka.asked, kafka.under_way) == ([1, 2], 0)


async def test_a_batch_waits_for_no_commit_but_a_rebalance_does() -> None:
    kafka, busy = FakeKafka(end=6), Busy()
    busy.let.set()
    consumer, _ = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))

    async def handled() -> int:
        return len(busy.batches)

    await eventually(handled, until=lambda n: n == 3, what="three batches beside one commit")
    assert kafka.asked == [2]
    revoked = asyncio.create_task(consumer.on_partitions_revoked([PARTITION]))
    await asyncio.sleep(0.05)
    assert not revoked.done()
    kafka.free.set()
    await revoked
    assert kafka.committed_to == [2, 6]
    await consumer.drain()
    await running


async def test_a_stop_commits_what_was_handled_before_the_group_is_left() -> None:
    kafka, busy = FakeKafka(end=2), Busy()
    consumer, around = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))

    async def asked() -> bool:
        return bool(busy.batches)

    await eventually(asked, what="the batch in hand")
    stop = asyncio.create_task(consumer.drain())
    busy.let.set()
    await asyncio.sleep(0.05)
    assert around.stopped_at is None
    kafka.free.set()
    await stop
    await running
    assert around.stopped_at == [2]


async def test_regression_the_group_is_left_in_time_though_the_last_commit_hangs() -> None:
    kafka, busy = FakeKafka(end=2), Busy()
    busy.let.set()
    consumer, around = consuming(kafka, drain_seconds=0.1, stop_seconds=0.4)
    running = asyncio.create_task(consumer.run(busy))

    async def asked() -> list[int]:
        return kafka.asked

    await eventually(asked, what="a commit that hangs")
    async with asyncio.timeout(0.6):
        await consumer.drain()
        running.cancel()
        await asyncio.wait({running})
    assert around.stopped_at == []
    assert kafka.under_way == 0


async def test_regression_what_reading_ahead_meets_does_not_cut_off_the_batch_in_hand() -> None:
    kafka, busy = FakeKafka(end=4), Busy()
    kafka.free.set()
    kafka.corrupt = CorruptRecordException("checksum")
    consumer, around = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))
    await asyncio.sleep(0.1)
    assert (kafka.corrupt, around.stopped_at, busy.batches) == (None, None, [[0, 1]])
    busy.let.set()

    async def committed() -> int:
        return await kafka.committed(PARTITION)

    await eventually(committed, until=lambda n: n == 4, what="the rest, on another connection")
    assert (around.stopped_at, busy.batches) == ([2], [[0, 1], [2, 3]])
    await consumer.drain()
    await running


async def test_the_next_batch_is_read_while_one_is_handled_and_no_more_than_that() -> None:
    kafka, busy = FakeKafka(end=9), Busy()
    kafka.free.set()
    consumer, _ = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))
    await asyncio.sleep(0.1)
    assert (busy.batches, kafka.position) == ([[0, 1]], 4)
    busy.let.set()

    async def committed() -> int:
        return await kafka.committed(PARTITION)

    await eventually(committed, until=lambda n: n == 9, what="all of them")
    assert [each for batch in busy.batches for each in batch] == list(range(9))
    await consumer.drain()
    await running


@pytest.mark.parametrize(
    "error", [DependencyUnavailable("database", "away"), RewindRequired({("t", 0): 0})], ids=["away", "back"]
)
async def test_what_was_read_ahead_comes_again_after_a_batch_that_was_not_taken(error: Exception) -> None:
    kafka, busy = FakeKafka(end=6), Busy()
    kafka.free.set()
    consumer, _ = consuming(kafka)
    busy.error = error
    running = asyncio.create_task(consumer.run(busy))
    await asyncio.sleep(0.05)
    busy.let.set()

    async def handled() -> list[int]:
        return [each for batch in busy.batches[1:] for each in batch]

    await eventually(handled, until=lambda all_of: len(all_of) >= 6, what="all of them, in order")
    assert await handled() == list(range(6))
    await consumer.drain()
    await running


async def test_what_was_read_ahead_is_dropped_where_partitions_go_to_others() -> None:
    kafka, busy = FakeKafka(end=4), Busy()
    kafka.free.set()
    consumer, _ = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))
    await asyncio.sleep(0.05)
    assert kafka.position == 4
    kafka.end = kafka.position  # in a rebalance a poll hands out nothing
    revoked = asyncio.create_task(consumer.on_partitions_revoked([PARTITION]))
    await asyncio.sleep(0)
    busy.let.set()
    await revoked
    await asyncio.sleep(0.05)
    assert (busy.batches, kafka.committed_to) == ([[0, 1]], [2])
    await consumer.drain()
    await running


async def test_regression_a_record_in_anothers_hand_holds_up_its_own_partition_only() -> None:
    # One lease of another process stalled every partition of the consumer for 50 s.
    kafka, held = TwoPartitions(end=4), Holding()
    kafka.free.set()
    consumer, _ = consuming(kafka)
    running = asyncio.create_task(consumer.run(held))

    async def committed() -> dict[int, int]:
        return kafka.committed_of

    await eventually(
        committed, until={0: 4, 1: 1}.__eq__, what="one partition whole, the other up to the lease"
    )
    assert kafka.paused == {OTHER}
    held.free = True
    await eventually(committed, until={0: 4, 1: 4}.__eq__, what="the other one too")
    await consumer.drain()
    await running


OTHER = TopicPartition("t", 1)


class Placed:
    """A record of one of two partitions."""

    topic, key, headers = "t", None, ()

    def __init__(self, partition: int, offset: int) -> None:
        self.partition, self.offset = partition, offset


class TwoPartitions(FakeKafka):
    """Two partitions of as many records; what is paused is not handed out."""

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self.positions = {PARTITION: 0, OTHER: 0}
        self.paused = set[TopicPartition]()
        self.committed_of: dict[int, int] = {}

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed_of |= {each.partition: offset for each, offset in offsets.items()}

    async def getmany(self, timeout_ms: int = 0, max_records: int = 2) -> dict[TopicPartition, list[Any]]:
        found = dict[TopicPartition, list[Any]]()
        for each in self.positions.keys() - self.paused:
            at = self.positions[each]
            found[each] = [Placed(each.partition, n) for n in range(at, min(self.end, at + 1))]
            self.positions[each] += len(found[each])
        if not any(found.values()):
            await asyncio.sleep(timeout_ms / 1000)
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)

    async def beginning_offsets(self, partitions: Any) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Any) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.end)


class Holding:
    """A handler that finds the second record of one partition in another's hand."""

    def __init__(self) -> None:
        self.free = False

    async def handle(self, records: Sequence[Any]) -> None:
        await asyncio.sleep(0)
        if not self.free and any((each.partition, each.offset) == (1, 1) for each in records):
            raise PartitionsBusy({("t", 1): 1}, 0.5)

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)
