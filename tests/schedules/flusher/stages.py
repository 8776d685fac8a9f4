"""The stages around the flusher in a schedule: each handles its retries, or publishes another failure."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, NoReturn
from uuid import UUID

import asyncpg
from aiokafka import TopicPartition

from contracts import topics
from contracts.failures import LeadFailed, Record, failure_event_id
from tests.schedules.database.persister_queries import resolve
from tests.schedules.flusher.failures import read_failure

if TYPE_CHECKING:
    from tests.schedules.world import World

STAGE_SECONDS: Final = 1.0
RESOLVE_SECONDS: Final = 5.0
# Where rows of the queue are sent.
RETRY_TOPICS: Final = (
    *(topic.name for topic in topics.RETRY.values()),
    topics.AUDIT.name,
    topics.RECEIVED.name,
)


def fate_of(row_id: UUID) -> str:
    """Return what becomes of a row's retries: one works, the second works, none works, or one is final."""
    return ("works", "works", "works later", "fails", "fails for good")[row_id.int % 5]


def sends_needed(row_id: UUID) -> int:
    """Return how often a row is sent until a stage has handled it, or until it is dead."""
    return {"works": 1, "works later": 2, "fails": 3, "fails for good": 1}[fate_of(row_id)]


async def handle_retries(world: "World") -> NoReturn:
    """Handle each record that the flusher has sent, until cancelled."""
    positions = dict[TopicPartition, int]()
    while True:
        await asyncio.sleep(STAGE_SECONDS)
        for partition, log in world.cluster.logs.items():
            if partition.topic not in RETRY_TOPICS:
                continue
            first = positions.get(partition, 0)
            positions[partition] = log.end
            for offset, record in log.records():
                failure = read_failure(record) if offset >= first else None
                if failure and failure.queue_id:
                    await _handle(world, _Place(partition, offset, record.timestamp), record, failure)


class _Place(Record):
    """Where a record is, for the id of its failure."""

    def __init__(self, partition: TopicPartition, offset: int, timestamp: int) -> None:
        self._partition, self._offset, self._timestamp = partition, offset, timestamp

    @property
    def topic(self) -> str:
        return str(self._partition.topic)

    @property
    def partition(self) -> int:
        return int(self._partition.partition)

    @property
    def offset(self) -> int:
        return self._offset

    @property
    def timestamp(self) -> int:
        return self._timestamp


async def _handle(world: "World", place: _Place, record: Any, failure: LeadFailed) -> None:
    assert failure.queue_id
    fate = fate_of(failure.queue_id)
    if fate == "works" or (fate == "works later" and failure.attempts > 1):
        await _resolve(world, failure.stage, failure.queue_id)
        return
    changes = {
        "event_id": failure_event_id(place, failure.stage, failure.kind),
        "final": fate == "fails for good",
        "reason": "it failed again",
    }
    headers = failure.model_copy(update=changes).to_headers()
    await world.publish_record(topics.FAILED.name, record.key, record.value, headers)


async def _resolve(world: "World", stage: str, row_id: UUID) -> None:
    """Resolve a row, in the transaction of the effect."""
    while True:
        await world.database.answering()
        transaction = world.database.begin()
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                await resolve(transaction, stage, [row_id], [])
            if transaction.active:
                transaction.commit()
                world.resolved.add(row_id)
                return
        except (TimeoutError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(STAGE_SECONDS)
        finally:
            transaction.end()
