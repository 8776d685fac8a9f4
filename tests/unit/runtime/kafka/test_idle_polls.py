"""A poll without records is long, and ends early at a stop and at the end of a pause."""

import asyncio
import time

import pytest

from runtime.kafka import prefetch
from tests.support.kafka.consuming import CollectingHandler, make_consumer
from tests.support.kafka.fake_kafka import TOPIC, FakeConsumer
from tests.support.wait import eventually


async def test_a_stop_ends_the_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "POLL_SECONDS", 600.0)
    kafka = FakeConsumer()
    consumer, broker = make_consumer(kafka, take_seconds=600.0)
    running = asyncio.create_task(consumer.run(CollectingHandler()))

    async def polling() -> bool:
        return consumer._prefetcher._polling is not None

    await eventually(polling, what="a poll")
    async with asyncio.timeout(20):
        await consumer.drain()
        await running
    assert broker.commits_at_stop == []


async def test_a_poll_ends_when_a_paused_partition_must_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "POLL_SECONDS", 600.0)
    kafka = FakeConsumer(end=2)
    consumer, _ = make_consumer(kafka, take_seconds=600.0)
    prefetcher = consumer._prefetcher
    prefetcher.pause([(TOPIC, 0)], 0.1, ())
    began = time.monotonic()
    async with asyncio.timeout(20):
        assert await prefetcher.next_batch() == []
        while not (records := await prefetcher.next_batch()):
            assert time.monotonic() - began < 20
    assert [record.offset for record in records] == [0, 1]


async def test_a_poll_in_a_rebalance_is_cancelled_and_reported() -> None:
    kafka = FakeConsumer()
    consumer, _ = make_consumer(kafka, take_seconds=0.05)
    assert await consumer._prefetcher.next_batch() == []
    part = consumer._health.parts["consumer"]
    assert (part.ok, part.reason) == (False, "waits for the group's assignment")
