"""Publishes the records that a stage could not handle, unchanged, to the topic `leads.failed.v1`."""

from datetime import UTC, datetime
from uuid import UUID

from contracts import headers, topics
from contracts.failures import (
    Kind,
    LeadFailed,
    Origin,
    Stage,
    failure_event_id,
    first_origin,
    queue_id_of,
)
from runtime import metrics
from runtime.failures import Failure, PermanentError
from runtime.kafka.handler import Record
from runtime.kafka.publisher import Publisher
from runtime.tracing.spans import producer_span


class FailurePublisher:
    """Publishes the failures of one stage. `group` is the stage's consumer group, with the topic prefix."""

    def __init__(self, publisher: Publisher, stage: Stage, group: str, seconds: float) -> None:
        self._publisher = publisher
        self._stage: Stage = stage
        self._group = group
        self._seconds = seconds

    async def publish(
        self, record: Record, kind: Kind, reason: str, error: str, *, final: bool, queue_id: UUID | None
    ) -> None:
        """Publish one failure, and wait for Kafka's acknowledgement.

        Waits at most the `seconds` that were given to the constructor. The event id is derived from the
        record, so a consumer of the topic can ignore a repeated publication. `error` is the name of the
        exception's class. `final` means that no retry can help. If the record is a retry, `queue_id` is the
        id of its row in `replay_queue`; otherwise None.

        Raises `DependencyUnavailable` if Kafka does not acknowledge the record in time. Raises
        `PermanentError` if Kafka will never accept it.
        """
        failed = LeadFailed(
            event_id=failure_event_id(record, self._stage, kind),
            occurred_at=datetime.now(UTC),
            stage=self._stage,
            kind=kind,
            final=final,
            reason=reason,
            error=error,
            origin=first_origin(record.headers, Origin.of(record, self._group)),
            queue_id=queue_id,
            attempts=headers.count(record.headers, headers.RETRY_ATTEMPTS),
        )
        with producer_span(topics.FAILED.name, failed.to_headers(record.headers), record.key) as carried:
            await self._publisher.send(
                topics.FAILED.name,
                key=record.key,
                value=record.value,
                headers=carried,
                seconds=self._seconds,
            )
        metrics.PARKED.labels(final=str(final).lower()).inc()

    async def publish_failure(self, record: Record, kind: Kind, failure: Failure) -> None:
        """Publish the failure that a handler raised for a record. A `PermanentError` is final.

        Waits as `publish` does, and raises the same errors.
        """
        await self.publish(
            record,
            kind,
            failure.reason,
            f"{type(failure).__module__}.{type(failure).__qualname__}",
            final=isinstance(failure, PermanentError),
            queue_id=queue_id_of(record.headers, self._stage),
        )
