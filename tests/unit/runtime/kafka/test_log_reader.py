"""Reading a part of a log while the log changes."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from aiokafka import TopicPartition

from runtime.kafka.log_reader import assign_all_partitions, read_ranges
from tests.support.kafka.fake_kafka import PARTITION, FakeConsumer


def log(start: int, end: int) -> FakeConsumer:
    """Return a consumer of a log that retains these offsets."""
    consumer = FakeConsumer(end)
    consumer.starts[PARTITION] = start
    return consumer


async def offsets(consumer: FakeConsumer) -> list[int]:
    return [each.offset async for records in read_ranges(consumer, {PARTITION: (2, 6)}) for each in records]


@pytest.mark.parametrize(
    ("start", "read"),
    [(0, [2, 3, 4, 5]), (4, [4, 5]), (8, []), (9, [])],
    ids=["nothing deleted", "some deleted", "all deleted", "log empty"],
)
async def test_regression_reader_skips_records_deleted_meanwhile(start: int, read: list[int]) -> None:
    # It waited forever for records that the log no longer held.
    assert await offsets(log(start, 9)) == read


async def test_reader_gives_up_on_silent_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowConsumer(FakeConsumer):
        async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Any]]:
            await asyncio.sleep(0.01)
            return {}

    monkeypatch.setattr("runtime.kafka.log_reader.KAFKA_SECONDS", 0.05)
    with pytest.raises(TimeoutError):
        await offsets(SlowConsumer(9))


class UnassignedConsumer:
    """A consumer that has a topic's metadata only after a request about that topic."""

    def __init__(self, **numbers: int) -> None:
        self._numbers = numbers
        self._known: Collection[str] = ()
        self.assigned = list[list[TopicPartition]]()

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned.append(partitions)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self._known = {each.topic for each in partitions}
        return dict.fromkeys(partitions, 0)

    def partitions_for_topic(self, topic: str) -> Any:
        return set(range(self._numbers[topic])) if topic in self._known else None


async def test_regression_reader_assigns_all_existing_partitions() -> None:
    # Of a failed topic with 14 partitions two were not read: their failures were rebuilt as sent mails.
    consumer = UnassignedConsumer(failed=14, dead=2)
    partitions = await assign_all_partitions(consumer, "failed", "dead")
    assert partitions == [TopicPartition("failed", n) for n in range(14)] + [
        TopicPartition("dead", n) for n in range(2)
    ]
    # A second assignment ended the coordinator of a consumer with a group: the doctor failed.
    assert consumer.assigned == [partitions]
