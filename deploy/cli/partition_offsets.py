"""Where a stage stands in each of its partitions. Reads only."""

import asyncio
from typing import Any

from aiokafka import TopicPartition

from contracts import topics
from runtime.database.ledger import Ledger
from runtime.database.postgres import Connection
from runtime.kafka.log_reader import KAFKA_SECONDS, assign_all_partitions
from runtime.kafka.positions import Position
from runtime.kafka.reconcile import read_positions as positions_in
from runtime.settings import Kafka


async def read_positions(
    kafka: Kafka, consumer: Any, connection: Connection, stage: topics.Service
) -> dict[TopicPartition, Position]:
    """Return where a stage stands in each of its partitions. The consumer is one of the stage's group."""
    names = [kafka.topic_prefix + name for name in topics.consumed_by(stage)]
    partitions = await assign_all_partitions(consumer, *names)
    async with asyncio.timeout(KAFKA_SECONDS):
        starts = await consumer.beginning_offsets(partitions)
        committed = {each: await consumer.committed(each) for each in partitions}
        # The ledger between the commits and the ends: where services run they can only go on meanwhile.
        pages = await Ledger(stage).read(connection, partitions)
        ends = await consumer.end_offsets(partitions)
    return await positions_in(kafka, pages, committed, starts, ends)
