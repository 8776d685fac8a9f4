"""What a record of `leads.failed.v1` says. Pure: no I/O, no clock; nothing is ever refused here."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from contracts import headers as h
from contracts import topics
from contracts.audit import AuditEvent, AuditRecorded
from contracts.failures import (
    AUDIT_KIND,
    LeadFailed,
    Origin,
    failure_event_id,
    legacy_failure_event_id,
)
from contracts.reasons import Reason
from runtime.kafka.handler import Record

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT4: Final = 2**31
_INT8: Final = 2**63


@dataclass(frozen=True)
class FailedRecord:
    """A record that failed somewhere: what is known of the failure, and the original bytes.

    `by_origin`: a conflict, what could not be decoded, or an audit record; its row is named by where it was
    first read.
    """

    record: Record
    failure: LeadFailed
    lead_id: UUID | None
    kept: dict[str, str]
    by_origin: bool

    @property
    def final(self) -> bool:
        """True where no retry can help; without bytes there is nothing to retry with."""
        return self.failure.final or self.record.value is None

    @property
    def replay_lead_id(self) -> UUID | None:
        """The id of the lead that a conflict is replayed as."""
        if self.by_origin and self.failure.reason == Reason.CONFLICT:
            return uuid5(self.failure.event_id, "lead_id")
        return None

    @property
    def legacy_id(self) -> UUID | None:
        """The id that earlier versions gave this failure; None for a retry, whose record is unknown."""
        failure, stage, kind = self.failure, self.failure.stage, self.failure.kind
        if failure.event_id != failure_event_id(failure.origin, stage, kind):
            return None
        return legacy_failure_event_id(failure.origin, stage, kind)

    @property
    def origin_at(self) -> datetime:
        """When Kafka got the record, aware UTC."""
        return _at(self.failure.origin.timestamp_ms)


def read(record: Record, group: str) -> FailedRecord:
    """Read what the stage said of its failure; where that cannot be read, keep the record as dead."""
    headers = _storable(record.headers)
    try:
        failure = LeadFailed.from_headers(headers)
        if not (
            -_INT4 <= failure.origin.partition < _INT4
            and -_INT8 <= failure.origin.offset < _INT8
            and failure.stage in topics.RETRY
        ):
            raise ValueError("no such place in Kafka, or no such stage behind it")
    except (ValueError, OverflowError, OSError):
        return undecodable_failure(record, group, Reason.FAILURE_UNDECODABLE)
    if topics.is_audit(failure.origin.topic):
        # No lead: its key is the client's X-Request-ID. Older persisters report it as `store`.
        failure = failure.model_copy(update={"kind": AUDIT_KIND})
        return FailedRecord(record, failure, None, _kept(headers), by_origin=True)
    by_origin = failure.stage == "persister" and failure.reason in (Reason.CONFLICT, Reason.UNDECODABLE)
    return FailedRecord(record, failure, _lead_id(record.key), _kept(headers), by_origin)


def undecodable_failure(record: Record, group: str, reason: str) -> FailedRecord:
    """Keep a record about which nothing is known but where it lies: dead, for a person to look at."""
    origin = Origin.of(record, group)
    failure = LeadFailed(
        event_id=failure_event_id(record, "persister", "store"),
        occurred_at=_at(origin.timestamp_ms),  # the origin's, which is cut to the calendar
        stage="persister",
        kind="store",
        final=True,
        reason=reason,
        error="runtime.failures.PermanentError",
        origin=origin,
    )
    return FailedRecord(
        record, failure, _lead_id(record.key), _kept(_storable(record.headers)), by_origin=True
    )


def strip_personal_data(parked: FailedRecord) -> FailedRecord:
    """Return a failure of an erased lead: that it failed, and nothing of what came."""
    emptied = replace(parked.record, key=None, value=None, headers=())
    return replace(parked, record=emptied, kept={})


def dead_event_id(failure: LeadFailed) -> UUID:
    """Name the death after the failure that caused it, so that a repeated dead letter is known as one."""
    return uuid5(failure.event_id, AuditEvent.LEAD_DEAD)


def entry(
    event: AuditEvent,
    failure: LeadFailed,
    lead_id: UUID | None,
    *,
    actor: str,
    details: dict[str, str] | None = None,
) -> AuditRecorded:
    """Write the audit entry of a failure, a death or a replay: ids, codes and our own words."""
    return AuditRecorded(
        event_id=failure.event_id,
        occurred_at=failure.occurred_at,
        event=event,
        actor=actor[:200],
        lead_id=lead_id,
        details={
            "queue_id": str(failure.queue_id) if failure.queue_id else None,
            "stage": failure.stage,
            "kind": failure.kind,
            "reason": failure.reason,
            "final": failure.final,
            "attempts": failure.attempts,
            "topic": failure.origin.topic,
            "partition": failure.origin.partition,
            "offset": failure.origin.offset,
            **(details or {}),
        },
    )


def _storable(headers: tuple[tuple[str, bytes | None], ...]) -> h.Headers:
    # PostgreSQL's text holds no NUL; a header may hold anything, and be null.
    return [(name, value.replace(b"\x00", b"")) for name, value in headers if value is not None]


def _kept(headers: h.Headers) -> dict[str, str]:
    return {name: value for name in h.PASSED_ON if (value := h.text(headers, name))}


def _lead_id(key: bytes | None) -> UUID | None:
    try:
        return UUID((key or b"").decode())
    except ValueError:
        return None


def _at(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
