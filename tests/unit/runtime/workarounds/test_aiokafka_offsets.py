"""Offsets of many partitions: one request, or one for each partition if one of them does not answer."""

import asyncio
from collections.abc import Collection

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from runtime.workarounds.aiokafka_offsets import fetch_committed, fetch_offsets
from tests.support.kafka.fake_kafka import FakeConsumer

PARTITIONS = [TopicPartition("t", number) for number in range(3)]


class Offsets:
    """Returns the number of each partition as its offset; never answers if a partition has no leader."""

    def __init__(self, without_leader: Collection[TopicPartition] = ()) -> None:
        self.without_leader = without_leader
        self.requests: list[list[TopicPartition]] = []
        self.error: Exception | None = None

    async def fetch(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self.requests.append(partitions)
        if self.error:
            raise self.error
        if set(partitions) & set(self.without_leader):
            await asyncio.Event().wait()
        return {each: each.partition for each in partitions}


async def test_all_partitions_are_in_one_request() -> None:
    offsets = Offsets()
    assert await fetch_offsets(offsets.fetch, PARTITIONS, 30) == {each: each.partition for each in PARTITIONS}
    assert offsets.requests == [PARTITIONS]


async def test_a_partition_without_a_leader_blocks_no_other() -> None:
    offsets = Offsets(PARTITIONS[1:2])
    found = await fetch_offsets(offsets.fetch, PARTITIONS, 0.4)
    assert found == {PARTITIONS[0]: 0, PARTITIONS[2]: 2}


async def test_errors_of_requests_are_partitions_that_do_not_answer() -> None:
    offsets = Offsets()
    offsets.error = KafkaConnectionError("gone")
    assert await fetch_offsets(offsets.fetch, PARTITIONS, 0.4) == {}
    assert await fetch_offsets(offsets.fetch, [], 0.4) == {}


async def test_a_group_without_a_commit_has_none() -> None:
    consumer = FakeConsumer(partitions=2)
    first, second = consumer.assignment()
    consumer.committed_offsets[first] = 4
    assert await fetch_committed(consumer, [first, second]) == {first: 4, second: None}
