"""The fake FastStream broker behaves like the real one: the same cases run on both."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener

from contracts import topics
from runtime.kafka.broker import build_broker
from runtime.settings import Kafka
from runtime.workarounds.faststream import stop_broker, subscribe_without_handler
from tests.support.kafka.consuming import FakeBroker
from tests.support.kafka.fake_kafka import FakeConsumer
from tests.support.wait import eventually

on_both = pytest.mark.parametrize("kind", ["fake", "faststream"])
RECORDS = 2


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    async def on_partitions_revoked(self, _: Any) -> None: ...

    async def on_partitions_assigned(self, _: Any) -> None: ...


@pytest.fixture
async def broker(kind: str, kafka: Kafka) -> AsyncIterator[Any]:
    if kind == "fake":
        yield FakeBroker(FakeConsumer(RECORDS))
        return
    await _produce(kafka)
    made = build_broker(kafka, "test")
    yield made
    await stop_broker(made, 5)


async def _produce(kafka: Kafka) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    for _ in range(RECORDS):
        await producer.send_and_wait(kafka.topic_prefix + topics.CHANGED.name, b"x", partition=0)
    await producer.stop()


@pytest.fixture
def subscriber(broker: Any, kafka: Kafka) -> Any:
    topic, group = kafka.topic_prefix + topics.CHANGED.name, f"{kafka.topic_prefix}conformance"
    return subscribe_without_handler(broker, topic, group_id=group, listener=_Listener())


async def _read_offsets(subscriber: Any) -> list[int]:
    """Poll the subscriber's consumer until all records have arrived; return their offsets."""
    offsets = list[int]()

    async def poll() -> int:
        batches = await subscriber.consumer.getmany(timeout_ms=200)
        offsets.extend(record.offset for records in batches.values() for record in records)
        return len(offsets)

    await eventually(poll, until=lambda arrived: arrived >= RECORDS, what="the records")
    return offsets


@on_both
async def test_subscriber_has_a_consumer_only_while_the_broker_runs(broker: Any, subscriber: Any) -> None:
    assert subscriber.consumer is None
    await broker.start()
    assert await _read_offsets(subscriber) == [0, 1]
    await broker.stop()
    assert subscriber.consumer is None


@on_both
async def test_restarted_broker_has_a_consumer_with_the_committed_offsets(
    broker: Any, subscriber: Any
) -> None:
    await broker.start()
    await _read_offsets(subscriber)
    (partition,) = (each for each in subscriber.consumer.assignment() if each.partition == 0)
    await subscriber.consumer.commit({partition: 1})
    await broker.stop()
    await broker.start()
    assert await subscriber.consumer.committed(partition) == 1
