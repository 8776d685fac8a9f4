"""Reads the offsets of many partitions with few requests. Seen with aiokafka 0.14.0.

| workaround | shortcoming | remove it when aiokafka |
|---|---|---|
| `fetch_offsets` | one partition without a leader blocks all others | answers per partition |
| `fetch_committed` | `committed` sends one request for each partition | takes several partitions |
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

# How long cancelled offset requests may take to end. aiokafka ends them at once.
CANCEL_SECONDS: Final = 1.0
# The share of the time in which all partitions may answer together. A broker needs milliseconds.
_TOGETHER_SHARE: Final = 0.25

Fetch = Callable[[list[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]
"""A consumer's `beginning_offsets` or `end_offsets`. It waits while a partition has no leader."""


async def fetch_offsets(
    fetch: Fetch, partitions: Collection[TopicPartition], seconds: float
) -> dict[TopicPartition, int]:
    """Return the offsets of the partitions that answer within `seconds`.

    Each broker gets one request for all partitions. If they do not all answer, each partition gets its own.
    """
    if not partitions:
        return {}
    together = _TOGETHER_SHARE * seconds
    offsets = await _fetch_within(fetch, [list(partitions)], together)
    if len(offsets) == len(set(partitions)):
        return offsets
    return await _fetch_within(fetch, [[each] for each in partitions], seconds - together)


async def _fetch_within(
    fetch: Fetch, requests: Collection[list[TopicPartition]], seconds: float
) -> dict[TopicPartition, int]:
    tasks = [asyncio.ensure_future(fetch(request)) for request in requests]
    try:
        answered, _ = await asyncio.wait(tasks, timeout=seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
    offsets = dict[TopicPartition, int]()
    for task in answered:
        if not isinstance(task.exception(), KafkaError | OSError):
            offsets |= task.result()
    return offsets


async def fetch_committed(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, int | None]:
    """Return the offsets that the consumer's group has committed; None where it has committed none.

    Raises `KafkaError`. It waits for the group's coordinator: the caller must set a timeout.
    """
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - aiokafka offers no other way
    found = await coordinator.fetch_committed_offsets(list(partitions))
    # -1: the group has committed nothing.
    offsets = {each: found[each].offset if each in found else -1 for each in partitions}
    return {each: None if offset == -1 else offset for each, offset in offsets.items()}
