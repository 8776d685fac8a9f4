"""What the flusher does with `leads.failed.v1`: every failure becomes, or moves, a row of the queue."""

from collections.abc import Sequence

from contracts.reasons import Reason
from runtime.failures import Failure
from runtime.kafka.handler import Record
from runtime.logs import logger
from services.flusher.failed_record import read, undecodable_failure
from services.flusher.publisher import ReplayPublisher
from services.flusher.store import Store


class Handler:
    """Takes failures into the queue.

    Dead dead_letters are acknowledged by Kafka before the database's commit: a crash between them
    repeats the dead_letter, under the same event id, and loses none.
    """

    def __init__(self, store: Store, publisher: ReplayPublisher, group: str) -> None:
        self._store = store
        self._publisher = publisher
        self._group = group
        self._log = logger("park")

    async def handle(self, records: Sequence[Record]) -> None:
        """Take a batch whole, or nothing of it."""
        parked = [read(record, self._group) for record in records]
        counts = await self._store.take(parked, self._publisher.archive)
        self._log.info("Queue took failures", records=len(records), **counts)

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Keep the one record that we could not take, dead, with its bytes: nothing stands behind us."""
        kept = undecodable_failure(
            record, self._group, Reason.FAILURE_NOT_STORED.format(reason=failure.reason)[:200]
        )
        await self._store.take([kept], self._publisher.archive)
