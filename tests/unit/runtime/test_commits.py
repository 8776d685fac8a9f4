"""Offsets are committed beside the loop, and records read ahead of it: what may not be lost by either."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
import structlog
from aiokafka.errors import CorruptRecordException, KafkaError
from faststream.kafka import KafkaBroker

from runtime.failures import Backoff, DependencyUnavailable, Failure, PartitionsBusy, RewindRequired
from runtime.health import Health
from runtime.kafka.consumer import Consumer
from runtime.kafka.handler import Batch
from runtime.kafka.offset_commits import OffsetCommits
from runtime.kafka.policy import Policy
from tests.support.fake_kafka import OTHER_PARTITION, PARTITION, FakeConsumer, FakeRecord
from tests.support.wait import eventually


class Around:
    """A broker that holds this consumer; `stopped_at` is what was committed when it was closed."""

    def __init__(self, consumer: FakeConsumer) -> None:
        self.consumer = consumer
        self.stopped_at: list[int] | None = None

    def subscriber(self, *_: Any, **__: Any) -> "Around":
        return self

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped_at = finished(self.consumer)


class Busy:
    """A handler that ends a batch when it is let, and raises what it is told to, once."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let = asyncio.Event()
        self.error: Exception | None = None

    async def handle(self, records: Sequence[Any]) -> None:
        self.batches.append([record.offset for record in records])
        await self.let.wait()
        if self.error:
            error, self.error = self.error, None
            raise error

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)


def places(*offsets: int) -> Batch:
    return cast("Batch", [FakeRecord(0, each) for each in offsets])


def started(kafka: FakeConsumer) -> list[int]:
    return [offsets[PARTITION] for offsets in kafka.commits_started]


def finished(kafka: FakeConsumer) -> list[int]:
    return [offsets[PARTITION] for offsets in kafka.commits_finished if PARTITION in offsets]


def consuming(kafka: FakeConsumer, **more: float) -> tuple[Consumer, Around]:
    policy = Policy(max_records=2, keepalive_seconds=0.01, backoff=Backoff(0.0, 0.0), **more)
    around = Around(kafka)
    return Consumer(cast("KafkaBroker", around), ["t"], "group", Health(), policy), around


async def test_one_commit_is_under_way_and_what_comes_meanwhile_is_one_more() -> None:
    kafka, commits = FakeConsumer(), OffsetCommits(5)
    kafka.commits_allowed.clear()
    for offset in (0, 1, 2, 3):
        commits.add(cast("Any", kafka), places(offset))
        await asyncio.sleep(0)
    assert started(kafka) == [1]
    kafka.commits_allowed.set()
    await commits.flush(5)
    assert (finished(kafka), kafka.most_running_commits) == ([1, 4], 1)


async def test_a_commit_that_fails_is_told_and_the_next_one_goes_on() -> None:
    kafka, commits = FakeConsumer(), OffsetCommits(5)
    kafka.commit_error = KafkaError("not now")
    with structlog.testing.capture_logs() as told:
        commits.add(cast("Any", kafka), places(0))
        await commits.flush(5)
    assert [(each["event"], each["reason"]) for each in told] == [("offsets not committed", "KafkaError")]
    kafka.commit_error = None
    commits.add(cast("Any", kafka), places(1))
    await commits.flush(5)
    assert finished(kafka) == [2]


async def test_a_commit_that_hangs_is_given_up_with_what_waits_behind_it() -> None:
    kafka, commits = FakeConsumer(), OffsetCommits(0.2)
    kafka.commits_allowed.clear()
    commits.add(cast("Any", kafka), places(0))
    await asyncio.sleep(0.1)
    commits.add(cast("Any", kafka), places(1))  # its commit begins when the first one is given up
    async with asyncio.timeout(1):
        await commits.flush(0.2)
    await asyncio.sleep(0.01)
    assert (started(kafka), kafka.running_commits) == ([1, 2], 0)


async def test_a_batch_waits_for_no_commit_but_a_rebalance_does() -> None:
    kafka, busy = FakeConsumer(end=6), Busy()
    kafka.commits_allowed.clear()
    busy.let.set()
    consumer, _ = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))

    async def handled() -> int:
        return len(busy.batches)

    await eventually(handled, until=lambda n: n == 3, what="three batches beside one commit")
    assert started(kafka) == [2]
    revoked = asyncio.create_task(consumer.on_partitions_revoked([PARTITION]))
    await asyncio.sleep(0.05)
    assert not revoked.done()
    kafka.commits_allowed.set()
    await revoked
    assert finished(kafka) == [2, 6]
    await consumer.drain()
    await running


async def test_a_stop_commits_what_was_handled_before_the_group_is_left() -> None:
    kafka, busy = FakeConsumer(end=2), Busy()
    kafka.commits_allowed.clear()
    consumer, around = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))

    async def asked() -> bool:
        return bool(busy.batches)

    await eventually(asked, what="the batch in hand")
    stop = asyncio.create_task(consumer.drain())
    busy.let.set()
    await asyncio.sleep(0.05)
    assert around.stopped_at is None
    kafka.commits_allowed.set()
    await stop
    await running
    assert around.stopped_at == [2]


async def test_regression_drain_leaves_group_in_time_if_commit_hangs() -> None:
    kafka, busy = FakeConsumer(end=2), Busy()
    kafka.commits_allowed.clear()
    busy.let.set()
    consumer, around = consuming(kafka, drain_seconds=0.1, stop_seconds=0.4)
    running = asyncio.create_task(consumer.run(busy))

    async def asked() -> list[int]:
        return started(kafka)

    await eventually(asked, what="a commit that hangs")
    async with asyncio.timeout(0.6):
        await consumer.drain()
        running.cancel()
        await asyncio.wait({running})
    assert around.stopped_at == []
    assert kafka.running_commits == 0


async def test_regression_prefetch_error_does_not_cancel_current_batch() -> None:
    kafka, busy = FakeConsumer(end=4), Busy()
    kafka.poll_error = CorruptRecordException("checksum")
    consumer, around = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))
    await asyncio.sleep(0.1)
    assert (kafka.poll_error, around.stopped_at, busy.batches) == (None, None, [[0, 1]])
    busy.let.set()

    async def committed() -> int | None:
        return await kafka.committed(PARTITION)

    await eventually(committed, until=lambda n: n == 4, what="the rest, on another connection")
    assert (around.stopped_at, busy.batches) == ([2], [[0, 1], [2, 3]])
    await consumer.drain()
    await running


async def test_prefetch_reads_exactly_one_batch_ahead() -> None:
    kafka, busy = FakeConsumer(end=9), Busy()
    consumer, _ = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))
    await asyncio.sleep(0.1)
    assert (busy.batches, kafka.positions[PARTITION]) == ([[0, 1]], 4)
    busy.let.set()

    async def committed() -> int | None:
        return await kafka.committed(PARTITION)

    await eventually(committed, until=lambda n: n == 9, what="all of them")
    assert [each for batch in busy.batches for each in batch] == list(range(9))
    await consumer.drain()
    await running


@pytest.mark.parametrize(
    "error", [DependencyUnavailable("database", "away"), RewindRequired({("t", 0): 0})], ids=["away", "back"]
)
async def test_what_was_read_ahead_comes_again_after_a_batch_that_was_not_taken(error: Exception) -> None:
    kafka, busy = FakeConsumer(end=6), Busy()
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
    kafka, busy = FakeConsumer(end=4), Busy()
    consumer, _ = consuming(kafka)
    running = asyncio.create_task(consumer.run(busy))
    await asyncio.sleep(0.05)
    assert kafka.positions[PARTITION] == 4
    kafka.ends[PARTITION] = kafka.positions[PARTITION]  # in a rebalance a poll hands out nothing
    revoked = asyncio.create_task(consumer.on_partitions_revoked([PARTITION]))
    await asyncio.sleep(0)
    busy.let.set()
    await revoked
    await asyncio.sleep(0.05)
    assert (busy.batches, finished(kafka)) == ([[0, 1]], [2])
    await consumer.drain()
    await running


async def test_regression_leased_record_blocks_its_own_partition_only() -> None:
    # One lease of another process stalled every partition of the consumer for 50 s.
    kafka, held = FakeConsumer(end=4, partitions=2), Holding()
    consumer, _ = consuming(kafka)
    running = asyncio.create_task(consumer.run(held))

    async def committed() -> dict[int, int]:
        return {each.partition: offset for each, offset in kafka.committed_offsets.items()}

    await eventually(
        committed, until={0: 4, 1: 1}.__eq__, what="one partition whole, the other up to the lease"
    )
    assert kafka.paused() == {OTHER_PARTITION}
    held.free = True
    await eventually(committed, until={0: 4, 1: 4}.__eq__, what="the other one too")
    await consumer.drain()
    await running


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
