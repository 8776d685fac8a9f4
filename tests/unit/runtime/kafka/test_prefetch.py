"""The next batch is prefetched, and dropped or redelivered when necessary; gaps in fetches are detected."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import pytest
from aiokafka.errors import CorruptRecordException

from runtime.failures import Backoff, DependencyUnavailable, Failure, PartitionsBusy, RewindRequired
from runtime.kafka.policy import Policy
from runtime.kafka.prefetch import GAP_MS, FetchGaps
from tests.support.kafka.consuming import BlockingHandler, make_consumer
from tests.support.kafka.fake_kafka import OTHER_PARTITION, PARTITION, FakeConsumer
from tests.support.wait import eventually


def finished(kafka: FakeConsumer) -> list[int]:
    return [offsets[PARTITION] for offsets in kafka.commits_finished if PARTITION in offsets]


async def test_regression_prefetch_error_does_not_cancel_current_batch() -> None:
    kafka, handler = FakeConsumer(end=4), BlockingHandler()
    kafka.poll_error = CorruptRecordException("checksum")
    consumer, broker = make_consumer(kafka)
    running = asyncio.create_task(consumer.run(handler))
    await asyncio.sleep(0.1)
    assert (kafka.poll_error, broker.commits_at_stop, handler.batches) == (None, None, [[0, 1]])
    handler.allowed.set()

    async def committed() -> int | None:
        return await kafka.committed(PARTITION)

    await eventually(committed, until=lambda n: n == 4, what="the rest, on another connection")
    assert (broker.commits_at_stop, handler.batches) == ([{PARTITION: 2}], [[0, 1], [2, 3]])
    await consumer.drain()
    await running


async def test_prefetch_reads_exactly_one_batch_ahead() -> None:
    kafka, handler = FakeConsumer(end=9), BlockingHandler()
    consumer, _ = make_consumer(kafka)
    running = asyncio.create_task(consumer.run(handler))
    await asyncio.sleep(0.1)
    assert (handler.batches, kafka.positions[PARTITION]) == ([[0, 1]], 4)
    handler.allowed.set()

    async def committed() -> int | None:
        return await kafka.committed(PARTITION)

    await eventually(committed, until=lambda n: n == 9, what="all of them")
    assert [each for batch in handler.batches for each in batch] == list(range(9))
    await consumer.drain()
    await running


@pytest.mark.parametrize(
    "error",
    [DependencyUnavailable("database", "unavailable"), RewindRequired({("t", 0): 0})],
    ids=["unavailable", "rewind"],
)
async def test_prefetched_records_return_after_a_rewind(error: Exception) -> None:
    kafka, handler = FakeConsumer(end=6), BlockingHandler()
    consumer, _ = make_consumer(kafka)
    handler.error = error
    running = asyncio.create_task(consumer.run(handler))
    await asyncio.sleep(0.05)
    handler.allowed.set()

    async def handled() -> list[int]:
        return [each for batch in handler.batches[1:] for each in batch]

    await eventually(handled, until=lambda all_of: len(all_of) >= 6, what="all of them, in order")
    assert await handled() == list(range(6))
    await consumer.drain()
    await running


async def test_prefetched_records_are_dropped_on_revocation() -> None:
    kafka, handler = FakeConsumer(end=4), BlockingHandler()
    consumer, _ = make_consumer(kafka)
    running = asyncio.create_task(consumer.run(handler))
    await asyncio.sleep(0.05)
    assert kafka.positions[PARTITION] == 4
    kafka.ends[PARTITION] = kafka.positions[PARTITION]  # in a rebalance a poll hands out nothing
    revoked = asyncio.create_task(consumer.on_partitions_revoked([PARTITION]))
    await asyncio.sleep(0)
    handler.allowed.set()
    await revoked
    await asyncio.sleep(0.05)
    assert (handler.batches, finished(kafka)) == ([[0, 1]], [2])
    await consumer.drain()
    await running


async def test_regression_leased_record_blocks_its_own_partition_only() -> None:
    # One lease of another process stalled every partition of the consumer for 50 s.
    kafka, handler = FakeConsumer(end=4, partitions=2), LeasedRecordHandler()
    consumer, _ = make_consumer(kafka)
    running = asyncio.create_task(consumer.run(handler))

    async def committed() -> dict[int, int]:
        return {each.partition: offset for each, offset in kafka.committed_offsets.items()}

    await eventually(
        committed, until={0: 4, 1: 1}.__eq__, what="one partition whole, the other up to the lease"
    )
    assert kafka.paused() == {OTHER_PARTITION}
    handler.free = True
    await eventually(committed, until={0: 4, 1: 4}.__eq__, what="the other one too")
    await consumer.drain()
    await running


class LeasedRecordHandler:
    """A handler for which another process holds the second record of one partition."""

    def __init__(self) -> None:
        self.free = False

    async def handle(self, records: Sequence[Any]) -> None:
        await asyncio.sleep(0)
        if not self.free and any((each.partition, each.offset) == (1, 1) for each in records):
            raise PartitionsBusy({("t", 1): 1}, 0.5)

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)


class RecordingBackoff(Backoff):
    """A backoff of 0 s that records the number of each attempt."""

    attempts: ClassVar[list[int]] = []

    def seconds(self, attempt: int, rng: random.Random | None = None) -> float:
        self.attempts.append(attempt)
        return 0.0


async def test_pauses_grow_in_a_row_and_start_anew_after_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordingBackoff, "attempts", attempts := list[int]())
    policy = Policy(max_records=2, keepalive_seconds=0.01, backoff=RecordingBackoff())
    consumer, _ = make_consumer(FakeConsumer(end=4), policy=policy)
    handler = OutageHandler(failing={0, 1, 3})
    running = asyncio.create_task(consumer.run(handler))

    async def calls() -> int:
        return handler.calls

    await eventually(calls, until=lambda count: count == 5, what="both batches")
    assert attempts == [0, 1, 0]
    await consumer.drain()
    await running


class OutageHandler:
    """A handler for which the database is unavailable at these calls."""

    def __init__(self, failing: set[int]) -> None:
        self.calls, self._failing = 0, failing

    async def handle(self, _: Sequence[Any]) -> None:
        self.calls += 1
        if self.calls - 1 in self._failing:
            raise DependencyUnavailable("database", "unavailable")

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)


class PolledConsumer(FakeConsumer):
    """A consumer whose last poll is the test's to say."""

    def __init__(self) -> None:
        super().__init__()
        self.polled_at = 1000

    def poll(self, after_ms: int) -> Any:
        self.polled_at = (self.polled_at or 0) + after_ms
        return self


def test_fetch_gap_is_found_between_answered_fetches() -> None:
    gaps, consumer = FetchGaps(), PolledConsumer()
    for _ in range(3):
        gaps.update(consumer.poll(after_ms=500))
    assert not gaps.found
    gaps.update(cast("Any", consumer))  # silent
    assert not gaps.found
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    assert gaps.found


def test_fetch_gap_is_not_found_again_for_slow_broker() -> None:
    gaps, consumer = FetchGaps(), PolledConsumer()
    gaps.update(consumer.poll(after_ms=0))
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    gaps.confirm(cast("Any", consumer))
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    assert not gaps.found, "the records after a check are handled"


def test_regression_a_late_answer_after_a_comparison_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    gaps, consumer = FetchGaps(), PolledConsumer()
    monkeypatch.setattr(time, "time", lambda: (consumer.polled_at or 0) / 1000)
    gaps.update(consumer.poll(after_ms=0))
    gaps.confirm(cast("Any", consumer))  # for another reason than a gap
    gaps.update(consumer.poll(after_ms=500))
    assert not gaps.found
    gaps.confirm(cast("Any", consumer))
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    assert gaps.found
    gaps.confirm(cast("Any", consumer))
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    assert not gaps.found, "the comparison followed a gap"
