"""The flusher's part in a schedule of another stage: it sends each failed record back, a few times."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, NoReturn
from uuid import UUID

from aiokafka import TopicPartition

from contracts import topics
from contracts.failures import LeadFailed

if TYPE_CHECKING:
    from tests.schedules.world import World

RETRY_SECONDS: Final = 5.0
RETRIES: Final = 3


def published_failures(world: "World") -> list[LeadFailed]:
    """Return all failures that were published, in the order of their partitions."""
    return [failure for failure, _ in _read(world, {})]


def _read(world: "World", positions: dict[TopicPartition, int]) -> list[tuple[LeadFailed, Any]]:
    """Return each failure from these positions on, with its record, and move the positions to the ends."""
    found = list[tuple[LeadFailed, Any]]()
    for partition, log in world.cluster.logs.items():
        first = positions.get(partition, 0)
        if partition.topic == topics.FAILED.name and log.end > first:
            positions[partition] = log.end
            found += [
                (LeadFailed.from_headers(list(record.headers)), record)
                for offset, record in log.records()
                if offset >= first
            ]
    return found


def will_be_retried(failure: LeadFailed) -> bool:
    """Return True if this failure is followed by a retry."""
    return not failure.final and failure.attempts < RETRIES


async def retry_failures(world: "World") -> NoReturn:
    """Every `RETRY_SECONDS`, publish a retry for each new failure that is not final, until cancelled.

    A failure that was published twice has one id, and one retry.
    """
    positions, known = dict[TopicPartition, int](), set[UUID]()
    while True:
        await asyncio.sleep(RETRY_SECONDS)
        for failure, record in _read(world, positions):
            if failure.event_id not in known and will_be_retried(failure):
                known.add(failure.event_id)
                retry = failure.model_copy(update={"attempts": failure.attempts + 1})
                topic = topics.RETRY[world.stage.name].name
                await world.publish_record(topic, record.key, record.value, retry.to_headers())
