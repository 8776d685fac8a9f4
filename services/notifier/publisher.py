"""Hands a mail that was not sent to the replay queue, by the lead's original bytes."""

from datetime import UTC, datetime

from contracts import headers, topics
from contracts.failures import LeadFailed, Origin, first_origin
from runtime import metrics
from runtime.kafka.clients import Publisher
from runtime.tracing.spans import producer_span
from services.notifier.batch_plan import STAGE, Delivery

SEND_SECONDS = 5.0


class FailurePublisher:
    """Publishes to `leads.failed.v1` and waits for the acknowledgement. Raises `DependencyUnavailable`."""

    def __init__(self, publisher: Publisher, group: str) -> None:
        self._publisher = publisher
        self._group = group

    async def failed(self, delivery: Delivery, reason: str, error: str, *, final: bool) -> None:
        """Publish one failure, named by the record in hand: a repeat is a no-op."""
        record = delivery.record
        failed = LeadFailed(
            event_id=delivery.record_id,
            occurred_at=datetime.now(UTC),
            stage=STAGE,
            kind=delivery.kind,
            final=final,
            reason=reason,
            error=error,
            origin=first_origin(record.headers, Origin.of(record, self._group)),
            queue_id=delivery.queue_id,
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
