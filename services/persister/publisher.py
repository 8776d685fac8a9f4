"""Hands a record that cannot be stored to the replay queue, by its original bytes."""

from datetime import UTC, datetime

from contracts import headers, topics
from contracts.failures import AUDIT_KIND, Kind, LeadFailed, Origin, failure_event_id, first_origin
from runtime import metrics
from runtime.failures import Failure, PermanentError
from runtime.kafka.batch_processor import Record
from runtime.kafka.clients import Publisher
from runtime.logs import logger
from runtime.tracing.spans import producer_span, record_context
from services.persister.batch import queue_id_of

SEND_SECONDS = 10.0


class FailurePublisher:
    """Publishes to `leads.failed.v1` and waits for the acknowledgement. Raises `DependencyUnavailable`."""

    def __init__(self, publisher: Publisher, group: str) -> None:
        self._publisher = publisher
        self._group = group
        self._log = logger("park")

    async def failed(self, record: Record, failure: Failure) -> None:
        """Publish one failure; `PermanentError` is final."""
        with record_context(record):
            await self._failed(record, failure)

    async def _failed(self, record: Record, failure: Failure) -> None:
        final = isinstance(failure, PermanentError)
        origin = first_origin(record.headers, Origin.of(record, self._group))
        kind: Kind = AUDIT_KIND if topics.is_audit(origin.topic) else "store"
        failed = LeadFailed(
            event_id=failure_event_id(record, "persister", kind),
            occurred_at=datetime.now(UTC),
            stage="persister",
            kind=kind,
            final=final,
            reason=failure.reason,
            error=f"{type(failure).__module__}.{type(failure).__qualname__}",
            origin=origin,
            queue_id=queue_id_of(record),
            attempts=headers.count(record.headers, headers.RETRY_ATTEMPTS),
        )
        with producer_span(topics.FAILED.name, failed.to_headers(record.headers), record.key) as carried:
            await self._publisher.send(
                topics.FAILED.name,
                key=record.key,
                value=record.value,
                headers=carried,
                seconds=SEND_SECONDS,
            )
        metrics.PARKED.labels(final=str(final).lower()).inc()
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        self._log.info("record parked", reason=failure.reason, final=final, **place)
