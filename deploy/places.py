"""Where a stage stands in each partition: in its books, in its group, and in Kafka's log. Reads only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from faststream.kafka.security import parse_security

from contracts import topics
from runtime.postgres import Connection, load_queries
from runtime.settings import Kafka

SQL: Any = load_queries(Path(__file__).with_name("places.sql"))
CHUNK: Final = 1000
KAFKA_SECONDS: Final = 30.0


class Place(NamedTuple):
    """Where one partition stands: in the books, in its group, and in the log. None: not known there."""

    book: Any
    committed: int | None
    start: int
    end: int

    @property
    def is_another_log(self) -> bool:
        """Return True where the books are about a log that this Kafka does not have."""
        if self.book is None:
            return False
        unknown = self.committed is None and self.book["next_offset"] > self.start
        return unknown or bool(self.book["next_offset"] > self.end)

    @property
    def next_offset(self) -> int:
        """Return the first offset that the books lack, of those that Kafka still holds."""
        return max(self.start, self.book["next_offset"] if self.book else self.start)


@asynccontextmanager
async def open_reader(kafka: Kafka, group: str) -> AsyncIterator[Any]:
    """Open a reader that may read and set a group's offsets, and never joins it."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **parse_security(kafka.security()),
    )
    await asyncio.wait_for(consumer.start(), KAFKA_SECONDS)
    try:
        yield consumer
    finally:
        await asyncio.wait_for(consumer.stop(), KAFKA_SECONDS)


async def read_places(
    kafka: Kafka, consumer: Any, connection: Connection, stage: topics.Service
) -> dict[TopicPartition, Place]:
    """Return where a stage stands in each of its partitions. The consumer is one of the stage's group."""
    partitions = [
        TopicPartition(kafka.topic_prefix + name, number)
        for name in topics.consumed_by(stage)
        for number in range(topics.PARTITIONS)
    ]
    async with asyncio.timeout(KAFKA_SECONDS):
        consumer.assign(partitions)
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        committed = {each: await consumer.committed(each) for each in partitions}
    # The books last: where services run they can only go on meanwhile.
    books = {
        TopicPartition(row["topic"], row["partition"]): row
        async for row in SQL.newest_pages(connection, stage=stage)
    }
    return {each: Place(books.get(each), committed[each], starts[each], ends[each]) for each in partitions}


async def read_spans(consumer: Any, spans: dict[TopicPartition, tuple[int, int]]) -> AsyncIterator[list[Any]]:
    """Yield the records from the first offset up to the second, partition by partition."""
    for partition, (first, end) in spans.items():
        at = first
        consumer.seek(partition, at)
        while at < end:
            async with asyncio.timeout(KAFKA_SECONDS):
                found = await consumer.getmany(partition, timeout_ms=1000, max_records=CHUNK)
            records = [record for part in found.values() for record in part]
            if records:
                at = records[-1].offset + 1
            if kept := [record for record in records if record.offset < end]:
                yield kept
