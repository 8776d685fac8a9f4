"""The fake Kafka consumer answers like aiokafka: the same cases run on both."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Self
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from tests.support.kafka.fake_kafka import FakeConsumer
from tests.support.wait import eventually

both_consumers = pytest.mark.parametrize("kind", ["fake", "aiokafka"])


class Consumers:
    """Opens a consumer that is assigned all partitions of a topic with `end` records in each."""

    def __init__(self, kind: str, bootstrap_servers: str) -> None:
        self.kind, self.servers = kind, bootstrap_servers
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open(
        self, end: int, *, partitions: int = 1, start: int = 0
    ) -> tuple[Any, list[TopicPartition]]:
        if self.kind == "fake":
            fake = FakeConsumer(end, partitions=partitions)
            fake.starts = dict.fromkeys(fake.starts, start)
            return fake, sorted(fake.assignment())
        assigned = await self._create_topic(partitions, end, start)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers,
            group_id=uuid4().hex,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        consumer.assign(assigned)
        await consumer.start()
        self._stack.push_async_callback(consumer.stop)
        return consumer, assigned

    async def _create_topic(self, partitions: int, end: int, start: int) -> list[TopicPartition]:
        name = f"conformance-{uuid4().hex[:8]}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        self._stack.push_async_callback(admin.close)
        await admin.create_topics([NewTopic(name, partitions, 1)])
        self._stack.push_async_callback(admin.delete_topics, [name])
        producer = AIOKafkaProducer(bootstrap_servers=self.servers)
        await producer.start()
        for number in range(partitions):
            for offset in range(end):
                await producer.send_and_wait(name, str(offset).encode(), partition=number)
        await producer.stop()
        assigned = [TopicPartition(name, number) for number in range(partitions)]
        if start:
            await admin.delete_records({each: RecordsToDelete(start) for each in assigned})
        return assigned


@pytest.fixture
def servers(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the bootstrap servers; the fake starts no broker."""
    return "" if kind == "fake" else str(request.getfixturevalue("stack").bootstrap_servers)


@pytest.fixture
async def consumers(kind: str, servers: str) -> AsyncIterator[Consumers]:
    async with Consumers(kind, servers) as opened:
        yield opened


async def read(consumer: Any, count: int, **options: int) -> dict[int, list[int]]:
    """Poll until `count` records have arrived; return the offsets of each partition in their order."""
    offsets = dict[int, list[int]]()

    async def poll() -> int:
        for partition, records in (await consumer.getmany(timeout_ms=200, **options)).items():
            assert len(records) <= options.get("max_records", len(records))
            offsets.setdefault(partition.partition, []).extend(record.offset for record in records)
        return sum(map(len, offsets.values()))

    await eventually(poll, until=lambda arrived: arrived >= count, what=f"{count} records")
    return offsets


@both_consumers
async def test_consumer_committed_is_none_until_the_first_commit(consumers: Consumers) -> None:
    consumer, (first, second) = await consumers.open(3, partitions=2)
    assert await consumer.committed(first) is None
    await consumer.commit({first: 2})
    assert (await consumer.committed(first), await consumer.committed(second)) == (2, None)
    await consumer.commit({first: 1})
    assert await consumer.committed(first) == 1


@both_consumers
async def test_consumer_accepts_a_commit_beyond_the_end(consumers: Consumers) -> None:
    consumer, (partition,) = await consumers.open(3)
    await consumer.commit({partition: 100})
    assert await consumer.committed(partition) == 100


@both_consumers
async def test_consumer_poll_returns_each_partition_in_offset_order(consumers: Consumers) -> None:
    consumer, assigned = await consumers.open(4, partitions=2)
    assert await read(consumer, 8, max_records=3) == {0: [0, 1, 2, 3], 1: [0, 1, 2, 3]}
    assert [await consumer.position(each) for each in assigned] == [4, 4]


@both_consumers
async def test_consumer_poll_without_records_returns_no_partition(consumers: Consumers) -> None:
    consumer, _ = await consumers.open(0)
    assert await consumer.getmany(timeout_ms=100) == {}


@both_consumers
async def test_consumer_seek_sets_the_position_and_the_next_record(consumers: Consumers) -> None:
    consumer, (partition,) = await consumers.open(4)
    await read(consumer, 4)
    consumer.seek(partition, 2)
    assert await consumer.position(partition) == 2
    assert await read(consumer, 2) == {0: [2, 3]}


@both_consumers
async def test_consumer_commit_does_not_move_the_position(consumers: Consumers) -> None:
    consumer, (partition,) = await consumers.open(4)
    await read(consumer, 4)
    await consumer.commit({partition: 1})
    assert await consumer.position(partition) == 4


@both_consumers
async def test_consumer_paused_partition_is_not_polled_until_resumed(consumers: Consumers) -> None:
    consumer, (first, second) = await consumers.open(2, partitions=2)
    consumer.pause(first)
    assert consumer.paused() == {first}
    assert await read(consumer, 2) == {1: [0, 1]}
    assert await consumer.getmany(timeout_ms=200) == {}
    consumer.resume(first)
    assert consumer.paused() == set()
    assert await read(consumer, 2) == {0: [0, 1]}
    assert consumer.assignment() == {first, second}


@both_consumers
async def test_consumer_offsets_cover_the_retained_records(consumers: Consumers) -> None:
    consumer, (partition,) = await consumers.open(5, start=2)
    assert await consumer.beginning_offsets([partition]) == {partition: 2}
    assert await consumer.end_offsets([partition]) == {partition: 5}


@both_consumers
async def test_consumer_poll_below_the_start_continues_at_the_start(consumers: Consumers) -> None:
    consumer, (partition,) = await consumers.open(5, start=2)
    consumer.seek(partition, 0)
    assert await read(consumer, 3) == {0: [2, 3, 4]}
