"""Reads the position of a service in each partition that it consumes, from Kafka and from the ledger."""

import asyncio
from typing import Any

from aiokafka import TopicPartition

from contracts import topics
from runtime.database.ledger import Ledger
from runtime.database.postgres import Connection
from runtime.kafka.log_reader import KAFKA_SECONDS, assign_all_partitions
from runtime.kafka.positions import Position, read_positions
from runtime.settings import Kafka


async def read_stage_positions(
    kafka: Kafka, consumer: Any, connection: Connection, stage: topics.Service
) -> dict[TopicPartition, Position]:
    """Return the position of the service `stage` in each partition that it consumes.

    The consumer must have the group id of this service. Raises aiokafka's errors, and `Failure` if the
    database fails.
    """
    names = [kafka.topic_prefix + name for name in topics.consumed_by(stage)]
    partitions = await assign_all_partitions(consumer, *names)
    async with asyncio.timeout(KAFKA_SECONDS):
        starts = await consumer.beginning_offsets(partitions)
        committed = {each: await consumer.committed(each) for each in partitions}
        # Read in this order: committed offsets, ledger, end offsets. All three only grow while the services
        # run. In another order, the ledger could seem to be behind.
        pages = await Ledger(stage).read(connection, partitions)
        ends = await consumer.end_offsets(partitions)
    return await read_positions(kafka, pages, committed, starts, ends)
