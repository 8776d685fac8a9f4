"""The consumer's states: connecting, polling, pausing, leaving and stopping."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from runtime.health import Health
from runtime.kafka.consumer import Consumer
from runtime.kafka.policy import Policy
from runtime.kafka.watchdog import STALL_SECONDS, ConsumerStalled
from tests.support.kafka.consuming import (
    NO_BACKOFF,
    FakeBroker,
    FakeOffset,
    RecordingHandler,
    make_consumer,
    make_lagging_consumer,
)
from tests.support.kafka.fake_kafka import PARTITION, FakeConsumer
from tests.support.wait import eventually


async def test_readiness_queries_brokers_at_each_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.health.REUSE_SECONDS", 0.0)
    health, kafka = Health(), make_lagging_consumer()
    make_consumer(kafka, health, Policy())
    for answers in (True, False, True):
        kafka._client.answers = answers
        await health.refresh()
        assert health.parts["kafka"].ok is answers


async def test_regression_drain_does_not_wait_for_ended_consumer() -> None:
    class Broken:
        consumer = None

        def subscriber(self, *_: Any, **__: Any) -> "Broken":
            return self

        async def start(self) -> None:
            raise RuntimeError("a bug")

        async def stop(self) -> None:
            pass

    consumer = Consumer(cast("KafkaBroker", Broken()), ["topic"], "group", Health())
    with pytest.raises(RuntimeError):
        await consumer.run(RecordingHandler())
    async with asyncio.timeout(1):
        await consumer.drain()


def test_regression_start_outlasts_sessions_of_dead_members() -> None:
    # It gave up after 30 s, as long as a dead member's session lasts, and left one more of them behind.
    policy = Policy()
    assert policy.start_seconds > max(policy.session_seconds, policy.rebalance_seconds)


class UnassignedConsumer(FakeConsumer):
    """A consumer whose polls wait for an assignment that never arrives."""

    def __init__(self) -> None:
        super().__init__(end=20)
        self.committed_offsets[PARTITION] = 10

    async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.Event().wait()
        return {}


async def test_regression_hung_poll_fails_watchdog_and_readiness() -> None:
    # It stood in a rebalance without an end: green, with lag, and no watchdog ever looked.
    health = Health()
    consumer, _ = make_consumer(UnassignedConsumer(), health, Policy(take_seconds=0.01))
    running = asyncio.create_task(consumer.run(RecordingHandler()))

    async def reason() -> str:
        return health.parts["consumer"].reason

    await eventually(reason, until=lambda text: "assignment" in text, what="red readiness")
    consumer._watchdog._progress_at -= STALL_SECONDS + 1
    consumer._watchdog._measure_at = 0
    with pytest.raises(ConsumerStalled):
        await asyncio.wait_for(running, 5)


async def test_regression_drain_does_not_wait_for_hung_poll() -> None:
    consumer, _ = make_consumer(UnassignedConsumer(), Health(), Policy(take_seconds=0.01))
    running = asyncio.create_task(consumer.run(RecordingHandler()))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        await consumer.drain()
        await running


async def test_hung_handler_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(UnassignedConsumer):
        async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Any]]:
            return {PARTITION: [FakeOffset(11)]}

    monkeypatch.setattr("runtime.kafka.watchdog.HANG_SECONDS", 0.05)
    policy = Policy(keepalive_seconds=0.01)
    consumer, _ = make_consumer(Full(), Health(), policy)
    with pytest.raises(ConsumerStalled, match="in progress"):
        await asyncio.wait_for(consumer.run(HangingHandler()), 5)


async def test_regression_consumer_reconnects_after_failed_stop() -> None:
    # FastStream raises an ExceptionGroup, which contextlib.suppress does not look into (Python 3.11).
    class Failing(FakeBroker):
        def __init__(self, consumer: FakeConsumer) -> None:
            super().__init__(consumer)
            self.starts = 0

        async def start(self) -> None:
            self.starts += 1
            if self.starts == 1:
                raise KafkaError("no broker")
            await super().start()

        async def stop(self) -> None:
            raise ExceptionGroup("Failed to stop subscribers", [KafkaError("no coordinator")])

    broker = Failing(UnassignedConsumer())
    policy = Policy(take_seconds=0.01, backoff=NO_BACKOFF)
    consumer = Consumer(cast("KafkaBroker", broker), ["t"], "group", Health(), policy)
    running = asyncio.create_task(consumer.run(RecordingHandler()))

    async def starts() -> int:
        return broker.starts

    await eventually(starts, until=lambda n: n == 2, what="another connection")
    await consumer.drain()
    await running


async def test_regression_rebalance_waits_for_records_once_fetched() -> None:
    # The loop waited for Kafka's offsets between fetching a batch and marking it as in progress.
    kafka, handler = OneRecord(), HangingHandler()
    consumer, _ = make_consumer(kafka, Health(), Policy(drain_seconds=0.2, stop_seconds=0.1))
    running = asyncio.create_task(consumer.run(handler))
    await asyncio.wait_for(kafka.fetched.wait(), 5)
    revoked = asyncio.create_task(consumer.on_partitions_revoked([PARTITION]))
    await asyncio.sleep(0.05)
    assert handler.calls == 1
    assert not revoked.done()
    running.cancel()
    await asyncio.wait({running, revoked})


class OneRecord(UnassignedConsumer):
    """A consumer that returns one record; its offset requests are slow from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched = asyncio.Event()

    async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Any]]:
        if self.fetched.is_set():
            await asyncio.Event().wait()
        self.fetched.set()
        return {PARTITION: [FakeOffset(11)]}

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if self.fetched.is_set():
            await asyncio.sleep(0.1)
        return await super().end_offsets(partitions)


class HangingHandler(RecordingHandler):
    """A handler that never ends."""

    async def handle(self, records: Sequence[Any]) -> None:
        self.calls += 1
        await asyncio.Event().wait()
