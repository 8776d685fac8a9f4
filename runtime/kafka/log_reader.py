"""Reads records from a log beside the groups: it joins none, and commits nothing. Every wait is bounded."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from faststream.kafka.security import parse_security

from runtime.settings import Kafka
from runtime.workarounds.aiokafka_headers import tolerate_any_header

CHUNK: Final = 1000
KAFKA_SECONDS: Final = 30.0
# Long enough for one record of each partition, short enough for a stage that waits for it.
LOOK_SECONDS: Final = 5.0


@asynccontextmanager
async def open_reader(kafka: Kafka, group: str | None = None) -> AsyncIterator[Any]:
    """Open a reader that may read a group's offsets, and never joins it. Raises what aiokafka raises."""
    tolerate_any_header()
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
        await asyncio.wait_for(consumer.stop(), KAFKA_SECONDS)


async def assign_all_partitions(consumer: Any, *names: str) -> list[TopicPartition]:
    """Return all partitions that these topics have, which may be more than are declared. Assigns them."""
    firsts = [TopicPartition(name, 0) for name in names]
    async with asyncio.timeout(KAFKA_SECONDS):
        await consumer.beginning_offsets(firsts)  # with it comes what Kafka knows of the topics
    found = [
        TopicPartition(name, number)
        for name in names
        for number in sorted(consumer.partitions_for_topic(name))
    ]
    # Once only: a second assignment ends the coordinator of a consumer with a group.
    consumer.assign(found)
    return found


async def read_ranges(
    consumer: Any, spans: Mapping[TopicPartition, tuple[int, int]]
) -> AsyncIterator[list[Any]]:
    """Yield the records from the first offset up to the second, partition by partition.

    Records that are deleted meanwhile are left out. Raises `TimeoutError` where the next one does not come.
    """
    for partition, (first, end) in spans.items():
        at = first
        consumer.seek(partition, at)
        while at < end:
            records = list[Any]()
            async with asyncio.timeout(KAFKA_SECONDS):
                while at < end and not records:
                    found = await consumer.getmany(partition, timeout_ms=1000, max_records=CHUNK)
                    records = [record for part in found.values() for record in part]
                    # The consumer goes on by itself from the start of a log that begins later now.
                    at = records[-1].offset + 1 if records else await consumer.position(partition)
            if kept := [record for record in records if first <= record.offset < end]:
                yield kept


async def read_records_at(kafka: Kafka, places: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
    """Return the record at each of these offsets, of those that the logs hold."""
    if not places:
        return {}
    found, wanted = dict[TopicPartition, Any](), dict(places)
    async with open_reader(kafka) as consumer, asyncio.timeout(LOOK_SECONDS):
        consumer.assign(list(wanted))
        for partition, offset in wanted.items():
            consumer.seek(partition, offset)
        while wanted:
            batches = await consumer.getmany(*wanted, timeout_ms=500)
            for partition, records in batches.items():
                if records and (offset := wanted.pop(partition, None)) is not None:
                    consumer.pause(partition)
                    if records[0].offset == offset:
                        found[partition] = records[0]
    return found
