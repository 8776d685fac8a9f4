"""Reads the first or the next offset of each log; a partition without a leader holds up no other one."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

# How long cancelled requests may take to end: aiokafka ends them at once.
CANCEL_SECONDS = 1.0


async def fetch_offsets(
    ask: Callable[[list[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]],
    partitions: Collection[TopicPartition],
    seconds: float,
) -> dict[TopicPartition, int]:
    """Return the offsets of the partitions that answer within this time.

    `ask` is `beginning_offsets` or `end_offsets` of a consumer. Each partition is asked for by itself:
    aiokafka repeats a request for several for as long as one of them has no leader.
    """
    if not partitions:
        return {}
    tasks = [asyncio.ensure_future(ask([each])) for each in partitions]
    try:
        answered, _ = await asyncio.wait(tasks, timeout=seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
    found = dict[TopicPartition, int]()
    for task in answered:
        if not isinstance(task.exception(), KafkaError | OSError):
            found |= task.result()
    return found
