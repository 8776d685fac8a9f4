"""Reads records from a log without joining a group or committing. Every wait has a timeout."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from faststream.kafka.security import parse_security

from runtime.settings import Kafka
from runtime.workarounds.aiokafka import (
    accept_any_header_name,
    raise_offset_fetch_errors,
    stop_within,
)

CHUNK_RECORDS: Final = 1000
KAFKA_SECONDS: Final = 30.0
# Long enough to read one record of each partition, short enough for a stage that waits for it.
LOOK_SECONDS: Final = 5.0


@asynccontextmanager
async def open_reader(kafka: Kafka, group: str | None = None) -> AsyncIterator[Any]:
    """Open a consumer that never joins a group; it can read the committed offsets of `group`.

    Raises what aiokafka raises, and `TimeoutError`.
    """
    accept_any_header_name()
    raise_offset_fetch_errors()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + group if group else None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **parse_security(kafka.security()),
    )
    try:
        await asyncio.wait_for(consumer.start(), KAFKA_SECONDS)
        yield consumer
    finally:
        await stop_within(consumer.stop(), KAFKA_SECONDS)


async def assign_all_partitions(consumer: Any, *topics: str) -> list[TopicPartition]:
    """Assign all partitions of these topics to the consumer, and return the partitions."""
    first_partitions = [TopicPartition(topic, 0) for topic in topics]
    async with asyncio.timeout(KAFKA_SECONDS):
        await consumer.beginning_offsets(first_partitions)  # it also loads the topics' metadata
    partitions = [
        TopicPartition(topic, number)
        for topic in topics
        for number in sorted(consumer.partitions_for_topic(topic))
    ]
    # Only once: a second assignment ends the coordinator of a consumer with a group.
    consumer.assign(partitions)
    return partitions


async def read_ranges(
    consumer: Any, ranges: Mapping[TopicPartition, tuple[int, int]]
) -> AsyncIterator[list[Any]]:
    """Yield the records of each range in lists, one partition after the other.

    A range consists of the first offset and the offset after the last one. Records that Kafka deletes
    meanwhile are left out. Raises `TimeoutError` if the next record does not arrive.
    """
    for partition, (first, end) in ranges.items():
        offset = first
        consumer.seek(partition, offset)
        while offset < end:
            records = list[Any]()
            async with asyncio.timeout(KAFKA_SECONDS):
                while offset < end and not records:
                    batches = await consumer.getmany(partition, timeout_ms=1000, max_records=CHUNK_RECORDS)
                    records = [record for batch in batches.values() for record in batch]
                    # If the log begins later now, the consumer continues at its start by itself.
                    offset = records[-1].offset + 1 if records else await consumer.position(partition)
            if in_range := [record for record in records if first <= record.offset < end]:
                yield in_range


async def read_records_at(kafka: Kafka, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
    """Return the record at each of these offsets, if the log has one there.

    Raises what aiokafka raises, and `TimeoutError`.
    """
    if not offsets:
        return {}
    records, pending = dict[TopicPartition, Any](), dict(offsets)
    async with open_reader(kafka) as consumer, asyncio.timeout(LOOK_SECONDS):
        consumer.assign(list(pending))
        for partition, offset in pending.items():
            consumer.seek(partition, offset)
        while pending:
            batches = await consumer.getmany(*pending, timeout_ms=500)
            for partition, batch in batches.items():
                if batch and (offset := pending.pop(partition, None)) is not None:
                    consumer.pause(partition)
                    if batch[0].offset == offset:
                        records[partition] = batch[0]
    return records
