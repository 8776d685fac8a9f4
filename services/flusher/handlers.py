"""Stores the failures of `leads.failed.v1`: each failure creates or changes a row of the replay queue."""

from collections.abc import Sequence

from contracts.reasons import Reason
from runtime.failures import Failure
from runtime.kafka.handler import Record
from runtime.logs import logger
from services.flusher.failed_record import decode_failure, undecodable_failure
from services.flusher.publisher import ReplayPublisher
from services.flusher.store import Store


class Handler:
    """Stores failures in the replay queue. If a row becomes dead, its dead letter is published too.

    The dead letter is published before the transaction commits, so a crash in between does not lose it. After
    such a crash it is published again with the same event id. If Kafka refuses a dead letter permanently, the
    refusal is only logged: the row still has the record's bytes.
    """

    def __init__(self, store: Store, publisher: ReplayPublisher, group: str) -> None:
        self._store = store
        self._publisher = publisher
        self._group = group
        self._log = logger("failures")

    async def handle(self, records: Sequence[Record]) -> None:
        """Store a batch of failures in one transaction."""
        failed_records = [decode_failure(record, self._group) for record in records]
        counts = await self._store.store_failures(failed_records, self._publisher.publish_dead_letters)
        self._log.info("Queue stored failures", records=len(records), **counts)

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Store a dead row with the original bytes of a record that `handle` could not store."""
        dead_record = undecodable_failure(
            record, self._group, Reason.FAILURE_NOT_STORED.format(reason=failure.reason)[:200]
        )
        await self._store.store_failures([dead_record], self._publisher.publish_dead_letters)
