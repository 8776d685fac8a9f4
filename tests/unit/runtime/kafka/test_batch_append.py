"""Records that skip aiokafka's `send` arrive like those that do not."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, partitioner
from aiokafka.record.memory_records import MemoryRecords

from contracts import topics
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.batch_append import SMALL_BYTES, append_to_batch, murmur2
from runtime.kafka.publisher import Publisher, open_publisher
from runtime.settings import Kafka
from tests.support.kafka.acknowledging_broker import Connection, connect
from tests.support.wait import eventually

TOPIC = topics.RECEIVED.name
SETTINGS = Kafka(bootstrap_servers="127.0.0.1:1", topic_prefix="")


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiokafka.client.create_conn", connect)


@asynccontextmanager
async def run_producer(**options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", enable_idempotence=True, **options)
    async with producer:
        yield producer


@asynccontextmanager
async def run_publisher() -> AsyncIterator[Publisher]:
    async with open_publisher(SETTINGS, "test", Health()) as publisher:

        async def connected() -> bool:
            return publisher.connected

        await eventually(connected, what="the producer")
        yield publisher


def last_records() -> dict[int, list[tuple[Any, ...]]]:
    """Return key, value and headers of each record in the last request, by partition."""
    ((_, batches),) = Connection.last_produced
    return {
        partition: [
            (each.key, each.value, each.headers) for each in MemoryRecords(bytes(batch)).next_batch() or ()
        ]
        for partition, batch in batches
    }


def test_keys_have_the_partition_that_kafka_s_clients_choose() -> None:
    draw = random.Random(1)
    for size in [*range(40), 1000]:
        for _ in range(20):
            key = draw.randbytes(size)
            assert murmur2(key) == partitioner.murmur2(key)


async def test_appended_records_equal_sent_ones() -> None:
    headers = [("a", b"1"), ("b", "ü".encode())]
    async with run_producer() as producer:
        for key in (b"1", b"22", b"0193b2a4-1f1c-7e3d-9a55-0c8f6a1d2b3c"):
            sent = await producer.send_and_wait(TOPIC, b"value", key, headers=headers)
            expected = last_records()
            future = append_to_batch(producer, TOPIC, key, b"value", headers)
            assert future is not None
            appended = await future
            assert (appended.topic, appended.partition) == (sent.topic, sent.partition)
            assert last_records() == expected == {sent.partition: [(key, b"value", headers)]}


async def test_records_of_one_turn_share_their_batches() -> None:
    async with run_producer(linger_ms=50) as producer:
        futures = [append_to_batch(producer, TOPIC, b"%d" % key, b"v", []) for key in range(100)]
        await asyncio.gather(*(each for each in futures if each is not None))
        assert sum(map(len, last_records().values())) == 100


async def test_send_handles_what_cannot_be_appended_at_once() -> None:
    async with run_producer(max_batch_size=20_000) as producer:
        assert append_to_batch(producer, "unknown", b"k", b"v", []) is None
        assert append_to_batch(producer, TOPIC, None, b"v", []) is None
        assert append_to_batch(producer, TOPIC, b"k", None, []) is None
        assert append_to_batch(producer, TOPIC, b"k", b"v" * SMALL_BYTES, []) is None
        first = append_to_batch(producer, TOPIC, b"k", b"v" * 15_000, [])
        assert append_to_batch(producer, TOPIC, b"k", b"v" * 15_000, []) is None  # the batch is full
        assert first is not None
        await first
    assert append_to_batch(producer, TOPIC, b"k", b"v", []) is None


async def test_failed_producer_appends_nothing() -> None:
    async with run_producer() as producer:
        producer._message_accumulator.fail_all(OSError())
        assert append_to_batch(producer, TOPIC, b"k", b"v", []) is None


async def test_publisher_bounds_the_wait_and_ignores_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.kafka.publisher.STOP_SECONDS", 0.1)  # the request is never answered
    async with run_publisher() as publisher:
        monkeypatch.setattr(Connection, "silent", True)
        async with asyncio.timeout(10):
            with pytest.raises(DependencyUnavailable, match="in time"):
                await publisher.send(TOPIC, key=b"k", value=b"v", headers=[], seconds=0.05)
        producer: Any = publisher._producer
        (batch,) = producer._message_accumulator._pending_batches
        batch.done(7)  # a late acknowledgement


async def test_publisher_does_not_use_a_broken_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.failures.Backoff.seconds", lambda *_: 0.01)
    async with run_publisher() as publisher:
        broken: Any = publisher._producer
        publisher._replace_producer(broken, OSError())
        sending = asyncio.create_task(publisher.send(TOPIC, key=b"k", value=b"v", headers=[], seconds=20))
        await asyncio.sleep(0)
        assert not broken._message_accumulator._batches
        await sending  # by the next producer
