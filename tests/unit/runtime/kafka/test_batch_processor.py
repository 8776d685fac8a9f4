"""A failing record is isolated and queued for a retry, and the others are handled."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.failures import (
    Backoff,
    DependencyRefused,
    DependencyUnavailable,
    Failure,
    PartitionsBusy,
    PermanentError,
    RetryableError,
    RewindRequired,
)
from runtime.kafka.batch_processor import MAX_REFUSALS, BatchProcessor
from runtime.kafka.handler import Batch
from tests.support.kafka.consuming import NO_BACKOFF, FakeOffset, RecordingHandler


def deliver(handler: RecordingHandler, records: Sequence[int]) -> BatchProcessor:
    processor = BatchProcessor(handler, cast("Batch", [FakeOffset(each) for each in records]), NO_BACKOFF)
    asyncio.run(processor.run())
    return processor


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 200), bad=st.sets(st.integers(0, 199), max_size=6))
def test_bisection_retries_only_faulty_records_and_keeps_order(size: int, bad: set[int]) -> None:
    handler = RecordingHandler(bad, RetryableError("refused"))
    deliver(handler, list(range(size)))
    assert handler.handled == [n for n in range(size) if n not in bad]
    assert handler.queued == [(n, "refused") for n in sorted(bad) if n < size]


def test_permanent_error_keeps_its_reason() -> None:
    handler = RecordingHandler({3}, PermanentError("undecodable"))
    deliver(handler, [1, 2, 3])
    assert handler.queued == [(3, "undecodable")]


def test_bug_is_retried_three_times_then_queued_by_type() -> None:
    handler = RecordingHandler({1}, ZeroDivisionError("secret text"))
    deliver(handler, [1])
    assert handler.calls == 3
    assert handler.queued == [(1, "bug: ZeroDivisionError")]


def test_record_that_the_retry_queue_refuses_pauses_the_stage() -> None:
    class Refusing(RecordingHandler):
        async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
            raise ZeroDivisionError

    with pytest.raises(DependencyUnavailable, match="t/0 at 7"):
        deliver(Refusing({7}, RetryableError("refused")), [FakeOffset(7)])


def test_unavailable_dependency_queues_no_record() -> None:
    handler = RecordingHandler({1}, DependencyUnavailable("database", "unavailable"))
    with pytest.raises(DependencyUnavailable):
        deliver(handler, [1, 2])
    assert handler.queued == []
    assert handler.calls == 1


@settings(max_examples=60, deadline=None)
@given(size=st.integers(2, 200), bad=st.sets(st.integers(0, 199), max_size=6))
def test_regression_refused_records_go_to_retry_if_others_are_stored(size: int, bad: set[int]) -> None:
    # A trigger's P0001 for one row paused the stage forever.
    handler = RecordingHandler(bad, DependencyRefused("database", "database answered P0001"))
    of_batch = {n for n in bad if n < size}
    if len(of_batch) == size:
        with pytest.raises(DependencyRefused):
            deliver(handler, list(range(size)))
        assert handler.queued == []
        return
    assert deliver(handler, list(range(size))).completed == size
    assert sorted(handler.handled) == [n for n in range(size) if n not in bad]
    assert sorted(handler.queued) == [(n, "database answered P0001") for n in sorted(of_batch)]


def test_database_refusing_every_record_pauses_stage_after_few_tries() -> None:
    handler = RecordingHandler(set(range(500)), DependencyRefused("database", "database answered 42P01"))
    processor = BatchProcessor(handler, cast("Batch", [FakeOffset(each) for each in range(500)]), NO_BACKOFF)
    with pytest.raises(DependencyRefused):
        asyncio.run(processor.run())
    assert (handler.queued, processor.completed) == ([], 0)
    assert handler.calls < 3 * MAX_REFUSALS


def test_single_refused_record_waits_for_another_to_find_the_cause() -> None:
    handler = RecordingHandler({7}, DependencyRefused("database", "database answered P0001"))
    with pytest.raises(DependencyRefused):
        deliver(handler, [7])
    assert handler.queued == []


class OrderedHandler:
    """Refuses some records, and handles those of a partition in order only, as a ledger does."""

    def __init__(self, *refused: tuple[int, int]) -> None:
        self.refused = set(refused)
        self.done: list[tuple[int, int]] = []
        self.queued: list[tuple[int, int]] = []

    async def handle(self, records: Sequence[Any]) -> None:
        next_offsets = dict[int, int]()
        for each in records:
            expected = next_offsets.setdefault(each.partition, self.next_offset(each.partition))
            if each.offset > expected:
                raise RewindRequired({("t", each.partition): expected})
            next_offsets[each.partition] = each.offset + 1
        if self.refused.intersection((each.partition, each.offset) for each in records):
            raise DependencyRefused("database", "database answered P0001")
        self.done += [(each.partition, each.offset) for each in records]

    def next_offset(self, partition: int) -> int:
        return sum(number == partition for number, _ in self.done + self.queued)

    async def send_to_retry_queue(self, record: Any, _: Failure) -> None:
        self.queued.append((record.partition, record.offset))


def at(partition: int, offset: int) -> Any:
    return ConsumerRecord("t", partition, offset, 0, 0, b"k", b"v", 0, 1, 1, ())


def test_regression_refused_record_does_not_rewind_its_partition() -> None:
    # The consumer went back to it without an end, and the ledger then counted it as missing.
    handler = OrderedHandler((0, 0), (0, 2))
    records = [at(0, 0), at(0, 1), at(0, 2), at(0, 3), at(1, 0), at(1, 1)]
    processor = BatchProcessor(handler, records, NO_BACKOFF)
    asyncio.run(processor.run())
    assert handler.queued == [(0, 0), (0, 2)]
    assert sorted(handler.done) == [(0, 1), (0, 3), (1, 0), (1, 1)]
    assert processor.completed == len(records)


def test_records_behind_a_lone_refused_record_wait_for_the_database() -> None:
    handler = OrderedHandler((0, 1))
    handler.done.append((0, 0))
    processor = BatchProcessor(handler, [at(0, 1), at(0, 2), at(0, 3)], NO_BACKOFF)
    with pytest.raises(DependencyRefused):
        asyncio.run(processor.run())
    assert (handler.queued, processor.completed) == ([], 0)


def test_pause_reports_progress_so_that_work_is_not_repeated() -> None:
    class Breaking(RecordingHandler):
        """Refuses the first three records; then a dependency is unavailable."""

        async def handle(self, records: Sequence[Any]) -> None:
            if len(self.queued) == 3:
                raise DependencyUnavailable("breaker", "open")
            await super().handle(records)

    handler = Breaking(set(range(8)), RetryableError("refused"))
    processor = BatchProcessor(handler, cast("Batch", [FakeOffset(each) for each in range(8)]), NO_BACKOFF)
    with pytest.raises(DependencyUnavailable):
        asyncio.run(processor.run())
    assert [record for record, _ in handler.queued] == [0, 1, 2]
    assert processor.completed == 3


def record(offset: int) -> Any:
    return ConsumerRecord("t", 0, offset, 0, 0, b"k", b"v", 0, 1, 1, ())


class RetriedHandler:
    """Refuses the record at offset 1 until another is accepted, then raises `second` for it."""

    def __init__(self, second: Exception) -> None:
        self.second = second
        self.accepted = False
        self.queued: list[tuple[int, str]] = []

    async def handle(self, records: Sequence[Any]) -> None:
        if any(each.offset == 1 for each in records):
            raise self.second if self.accepted else DependencyRefused("database", "database answered P0001")
        self.accepted = True

    async def send_to_retry_queue(self, each: Any, failure: Failure) -> None:
        self.queued.append((each.offset, failure.reason))


@pytest.mark.parametrize(
    ("second", "queued"),
    [
        (RetryableError("database refused the data (22001)"), [(1, "database refused the data (22001)")]),
        (ValueError("a bug"), [(1, "bug: ValueError")]),
        (PartitionsBusy({("t", 0): 1}, 1.0), []),
    ],
)
async def test_regression_retry_of_refused_record_may_fail_again(
    second: Exception, queued: list[tuple[int, str]]
) -> None:
    handler = RetriedHandler(second)
    processor = BatchProcessor(handler, [record(1), record(2)], Backoff())
    await processor.run()
    assert handler.queued == queued
    assert (processor.busy is not None) == isinstance(second, PartitionsBusy)


async def test_refused_record_is_not_completed_by_an_outage() -> None:
    processor = BatchProcessor(
        RetriedHandler(DependencyUnavailable("database", "unavailable")), [record(1), record(2)], Backoff()
    )
    with pytest.raises(DependencyUnavailable):
        await processor.run()
    assert processor.completed == 0
