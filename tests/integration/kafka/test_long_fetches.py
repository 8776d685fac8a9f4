"""An idle consumer waits long at a real broker, and nothing else waits for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest

from contracts import topics
from runtime.health import Health
from runtime.kafka.publisher import Publisher, open_publisher
from runtime.settings import Kafka
from runtime.workarounds.aiokafka_fetches import LongFetches
from tests.support.wait import eventually

# Far longer than anything that must not wait for a fetch.
WAIT_SECONDS = 30.0
AT_ONCE_SECONDS = 10.0


@dataclass
class Reader:
    """A consumer in a group, which has read what there was, and whose fetch waits at the broker."""

    consumer: AIOKafkaConsumer
    fetches: LongFetches
    publisher: Publisher
    partitions: list[TopicPartition]
    requests: list[Any]

    @property
    def topic(self) -> str:
        return str(self.partitions[0].topic)

    async def publish(self, value: bytes, partition: int = 0) -> None:
        producer: Any = self.publisher._producer
        await producer.send_and_wait(self.topic, value, partition=partition)

    async def read(self, seconds: float = AT_ONCE_SECONDS) -> list[bytes]:
        """Return the values of the next records; none if none arrive in this time."""
        batches = await self.consumer.getmany(timeout_ms=int(seconds * 1000))
        return [record.value for records in batches.values() for record in records]

    async def wait_until_waiting(self) -> None:
        """Poll until a fetch of all partitions waits at the broker."""

        async def waiting() -> bool:
            await self.read(0.01)
            return bool(self.fetches._waiting)

        await eventually(waiting, what="a fetch that waits")
        await asyncio.sleep(0.2)  # until it is at the broker


def make_consumer(bootstrap_servers: str, topic: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=f"{topic}.g",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
    )


async def collect(consumer: AIOKafkaConsumer, values: list[bytes]) -> None:
    """Append the values of all records that arrive, until cancelled."""
    while True:
        for records in (await consumer.getmany(timeout_ms=60_000)).values():
            values += [record.value for record in records]


def count_fetches(consumer: AIOKafkaConsumer) -> list[Any]:
    """Return a list to which each later fetch request of the consumer is added."""
    found, send = list[Any](), consumer._client.send

    async def counted(node: Any, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            found.append(request)
        return await send(node, request, **options)

    consumer._client.send = counted
    return found


@pytest.fixture
def open_reader(kafka: Kafka) -> Callable[..., Any]:
    topic = kafka.topic_prefix + topics.DEAD.name

    @contextlib.asynccontextmanager
    async def open_one(seconds: float = WAIT_SECONDS) -> AsyncIterator[Reader]:
        consumer = make_consumer(kafka.bootstrap_servers, topic)
        async with open_publisher(kafka, "test", Health()) as publisher:
            await publisher.send(topics.DEAD.name, key=b"k", value=b"first", headers=[], seconds=30)
            await consumer.start()
            try:
                requests = count_fetches(consumer)
                fetches = LongFetches(consumer, seconds)
                assert await eventually(lambda: asyncio.ensure_future(consumer.getmany(timeout_ms=500)))
                partitions = sorted(consumer.assignment())
                reader = Reader(consumer, fetches, publisher, partitions, requests)
                await reader.wait_until_waiting()
                yield reader
            finally:
                await asyncio.wait_for(consumer.stop(), AT_ONCE_SECONDS)

    return open_one


async def test_an_idle_consumer_fetches_once_per_wait(open_reader: Callable[..., Any]) -> None:
    async with open_reader(1.0) as reader:
        reader.requests.clear()
        assert await reader.read(3.0) == []
        assert 1 <= len(reader.requests) <= 6  # 60 with the short wait


async def test_a_new_record_ends_the_wait(open_reader: Callable[..., Any]) -> None:
    async with open_reader() as reader:
        for number in range(3):
            await reader.publish(b"new %d" % number)
            assert await reader.read() == [b"new %d" % number]
            await reader.wait_until_waiting()


async def test_records_are_read_again_at_once_after_a_seek(open_reader: Callable[..., Any]) -> None:
    async with open_reader() as reader:
        for _ in range(3):
            for partition in reader.partitions:
                reader.consumer.seek(partition, 0)
            reader.fetches.abandon()
            assert await reader.read() == [b"first"]
            await reader.wait_until_waiting()


async def test_requests_for_metadata_do_not_wait_for_a_fetch(open_reader: Callable[..., Any]) -> None:
    async with open_reader() as reader:
        async with asyncio.timeout(AT_ONCE_SECONDS):
            assert await reader.consumer._client.force_metadata_update()
            assert sum((await reader.consumer.end_offsets(reader.partitions)).values()) == 1
        assert reader.fetches._waiting


async def test_a_resumed_partition_does_not_wait_for_the_others(open_reader: Callable[..., Any]) -> None:
    async with open_reader() as reader:
        paused = reader.partitions[1]
        reader.consumer.pause(paused)
        # The fetch that waits has all partitions; the next one leaves the paused partition out.
        await reader.publish(b"ends the fetch")
        assert await reader.read() == [b"ends the fetch"]
        await reader.publish(b"waited", partition=1)
        assert await reader.read(0.5) == []
        reader.consumer.resume(paused)
        assert await reader.read() == [b"waited"]


async def test_a_stop_does_not_wait_for_a_fetch(open_reader: Callable[..., Any]) -> None:
    async with open_reader():
        began = time.monotonic()
    assert time.monotonic() - began < AT_ONCE_SECONDS


async def test_a_second_member_gets_its_partitions_at_once(open_reader: Callable[..., Any]) -> None:
    async with open_reader() as first:
        second = make_consumer(first.consumer._client._bootstrap_servers, first.topic)
        await second.start()
        LongFetches(second, WAIT_SECONDS)
        found: dict[AIOKafkaConsumer, list[bytes]] = {first.consumer: [], second: []}
        polls = [asyncio.create_task(collect(*each)) for each in found.items()]
        try:
            for consumer, values in found.items():

                async def assigned(consumer: AIOKafkaConsumer = consumer) -> int:
                    return len(consumer.assignment())

                await eventually(assigned, until=lambda n: 0 < n < len(first.partitions), what="its share")
                value = b"for %d" % id(consumer)
                await first.publish(value, partition=min(consumer.assignment()).partition)

                async def read(values: list[bytes] = values) -> list[bytes]:
                    return values

                await eventually(read, until=lambda n, value=value: value in n, seconds=AT_ONCE_SECONDS)  # type: ignore[misc]
        finally:
            for poll in polls:
                poll.cancel()
            await asyncio.wait_for(second.stop(), AT_ONCE_SECONDS)
