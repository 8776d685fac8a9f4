"""Stores records, and publishes a failure for each record that cannot be stored."""

from collections.abc import Sequence

from contracts.canary import canary_of
from contracts.reasons import Reason
from runtime.canary_queue import CanaryQueue
from runtime.database.canaries import CanaryResult
from runtime.database.circuit_breaker import CircuitBreaker
from runtime.failures import Failure, PermanentError
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.handler import Record
from runtime.logs import logger, logs_each_lead
from runtime.tracing.spans import record_context
from services.persister.batch import count_leads, decode_in_parts, kind_of
from services.persister.store import Store


class Handler:
    """Stores batches of records.

    The order of steps is: commit the transaction, publish the failures, commit the offsets. After a crash
    between two steps a failure is published again with the same event id, and the flusher ignores it.
    """

    def __init__(
        self,
        store: Store,
        publisher: FailurePublisher,
        breaker: CircuitBreaker,
        canaries: CanaryQueue | None = None,
    ) -> None:
        self._store = store
        self._canaries = canaries
        self._publisher = publisher
        self._breaker = breaker
        self._log = logger("failures")

    async def handle(self, records: Sequence[Record]) -> None:
        """Store a batch in one transaction.

        Then publish a failure for each record that cannot be decoded or that conflicts with a stored lead.
        """
        await self._breaker.check()
        stored = await self._store.save(decode_in_parts(records), records)
        if self._canaries:
            self._canaries.add(stored.canaries)
        if logs_each_lead():
            for lead_id in stored.new:
                self._log.debug("lead stored", lead_id=str(lead_id))
        for record in stored.undecodable:
            await self._publish_failure(record, PermanentError(Reason.UNDECODABLE))
        for record in stored.conflicts:
            await self._publish_failure(record, PermanentError(Reason.CONFLICT))
        dead = count_leads(stored.undecodable)
        self._breaker.count(good=count_leads(records) - dead, dead=dead)

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Publish the failure of one record, and count the record as `parked` in the ledger.

        A canary's failure is only written down: nobody has to repair it, and the next canary tries again.
        """
        if canary_id := canary_of(record.headers):
            await self._store.count_canary(record, CanaryResult(canary_id, "persister", failure.reason))
            return
        await self._publish_failure(record, failure)
        await self._store.count_failure(record)
        self._breaker.count(dead=count_leads([record]))

    async def _publish_failure(self, record: Record, failure: Failure) -> None:
        """Publish one failure. A `PermanentError` is published as final."""
        final = isinstance(failure, PermanentError)
        with record_context(record):
            await self._publisher.publish_failure(record, kind_of(record), failure)
            position = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            self._log.info("record sent to the replay queue", reason=failure.reason, final=final, **position)
