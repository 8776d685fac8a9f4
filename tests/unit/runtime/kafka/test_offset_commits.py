"""Offsets are committed in the background, and none is lost."""

import asyncio
import time
from typing import Any, cast

import pytest
import structlog
from aiokafka.errors import KafkaError

from runtime.kafka import offset_commits
from runtime.kafka.handler import Batch
from runtime.kafka.offset_commits import OffsetCommits
from tests.support.kafka.consuming import BlockingHandler, make_consumer
from tests.support.kafka.fake_kafka import PARTITION, FakeConsumer, FakeRecord
from tests.support.wait import eventually


def places(*offsets: int) -> Batch:
    return cast("Batch", [FakeRecord(0, each) for each in offsets])


def started(kafka: FakeConsumer) -> list[int]:
    return [offsets[PARTITION] for offsets in kafka.commits_started]


def finished(kafka: FakeConsumer) -> list[int]:
    return [offsets[PARTITION] for offsets in kafka.commits_finished if PARTITION in offsets]


async def test_commits_during_a_commit_are_combined_into_one() -> None:
    kafka, commits = FakeConsumer(), OffsetCommits(5)
    kafka.commits_allowed.clear()
    for offset in (0, 1, 2, 3):
        commits.add(cast("Any", kafka), places(offset))
        await asyncio.sleep(0)
    assert started(kafka) == [1]
    kafka.commits_allowed.set()
    await commits.flush(5)
    assert (finished(kafka), kafka.most_running_commits) == ([1, 4], 1)


async def test_offsets_soon_after_a_commit_wait_for_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offset_commits, "INTERVAL_SECONDS", 60.0)
    kafka, commits = FakeConsumer(), OffsetCommits(5)
    for offset in range(10):
        commits.add(cast("Any", kafka), places(offset))
        await asyncio.sleep(0.01)
    assert finished(kafka) == [1]
    async with asyncio.timeout(5):
        await commits.flush(5)  # does not wait for the interval
    assert finished(kafka) == [1, 10]


async def test_offsets_are_committed_after_the_interval_without_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(offset_commits, "INTERVAL_SECONDS", 0.2)
    kafka, commits = FakeConsumer(), OffsetCommits(5)
    began = time.monotonic()
    for offset in (0, 1):
        commits.add(cast("Any", kafka), places(offset))
        await asyncio.sleep(0)

    async def committed() -> list[int]:
        return finished(kafka)

    await eventually(committed, until=lambda offsets: offsets == [1, 2], what="the second commit")
    assert time.monotonic() - began >= 0.2
    await commits.flush(5)


async def test_failed_commit_is_logged_and_next_one_succeeds() -> None:
    kafka, commits = FakeConsumer(), OffsetCommits(5)
    kafka.commit_error = KafkaError("not now")
    with structlog.testing.capture_logs() as entries:
        commits.add(cast("Any", kafka), places(0))
        await commits.flush(5)
    assert [(each["event"], each["reason"]) for each in entries] == [("offsets not committed", "KafkaError")]
    kafka.commit_error = None
    commits.add(cast("Any", kafka), places(1))
    await commits.flush(5)
    assert finished(kafka) == [2]


async def test_flush_discards_hung_and_pending_commits() -> None:
    kafka, commits = FakeConsumer(), OffsetCommits(0.2)
    kafka.commits_allowed.clear()
    commits.add(cast("Any", kafka), places(0))
    await asyncio.sleep(0.1)
    commits.add(cast("Any", kafka), places(1))  # its commit begins after the first one has timed out
    async with asyncio.timeout(1):
        await commits.flush(0.2)
    await asyncio.sleep(0.01)
    assert (started(kafka), kafka.running_commits) == ([1, 2], 0)


async def test_rebalance_waits_for_commit_but_next_batch_does_not() -> None:
    kafka, handler = FakeConsumer(end=6), BlockingHandler()
    kafka.commits_allowed.clear()
    handler.allowed.set()
    consumer, _ = make_consumer(kafka)
    running = asyncio.create_task(consumer.run(handler))

    async def handled() -> int:
        return len(handler.batches)

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


async def test_drain_commits_completed_records_before_leaving() -> None:
    kafka, handler = FakeConsumer(end=2), BlockingHandler()
    kafka.commits_allowed.clear()
    consumer, broker = make_consumer(kafka)
    running = asyncio.create_task(consumer.run(handler))

    async def is_processing() -> bool:
        return bool(handler.batches)

    await eventually(is_processing, what="a batch in progress")
    stop = asyncio.create_task(consumer.drain())
    handler.allowed.set()
    await asyncio.sleep(0.05)
    assert broker.commits_at_stop is None
    kafka.commits_allowed.set()
    await stop
    await running
    assert broker.commits_at_stop == [{PARTITION: 2}]


async def test_regression_drain_leaves_group_in_time_if_commit_hangs() -> None:
    kafka, handler = FakeConsumer(end=2), BlockingHandler()
    kafka.commits_allowed.clear()
    handler.allowed.set()
    consumer, broker = make_consumer(kafka, drain_seconds=0.1, stop_seconds=0.4)
    running = asyncio.create_task(consumer.run(handler))

    async def commits() -> list[int]:
        return started(kafka)

    await eventually(commits, what="a hung commit")
    async with asyncio.timeout(0.6):
        await consumer.drain()
        running.cancel()
        await asyncio.wait({running})
    assert broker.commits_at_stop == []
    assert kafka.running_commits == 0
