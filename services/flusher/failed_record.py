"""Decodes records of `leads.failed.v1`. No I/O, no clock.

A record that cannot be decoded becomes a dead row of the replay queue.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from contracts import headers as h
from contracts import topics
from contracts.audit import AuditEvent, AuditRecorded
from contracts.failures import (
    AUDIT_KIND,
    HOOK_ORIGIN,
    SITE,
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
    """A record that a stage could not handle: its failure and its original bytes.

    `by_origin` says what identifies the record's row in `replay_queue`:

    - False: the stage, the kind and the lead id
    - True: the origin (topic, partition and offset), because the lead id is missing or not unique

    `by_origin` is True for these records:

    - an audit record
    - a record that cannot be decoded
    - a conflict: a lead whose id is already stored with another body
    - a lead from a form builder that the gateway refused
    """

    record: Record
    failure: LeadFailed
    lead_id: UUID | None
    kept_headers: dict[str, str]
    by_origin: bool

    @property
    def final(self) -> bool:
        """True if no retry can help, or if the record has no value that could be sent again."""
        return self.failure.final or self.record.value is None

    @property
    def replay_lead_id(self) -> UUID | None:
        """The lead id that a conflict gets when it is replayed as a new lead. None for any other record."""
        if self.by_origin and self.failure.reason == Reason.CONFLICT:
            return uuid5(self.failure.event_id, "lead_id")
        return None

    @property
    def legacy_id(self) -> UUID | None:
        """The id that earlier versions gave this failure, or None if the failed record was a retry.

        Earlier versions derived the id from the position of the failed record. The failure of a retry does
        not contain the position of the retry.
        """
        failure, stage, kind = self.failure, self.failure.stage, self.failure.kind
        if failure.event_id != failure_event_id(failure.origin, stage, kind):
            return None
        return legacy_failure_event_id(failure.origin, stage, kind)

    @property
    def origin_at(self) -> datetime:
        """The time at which Kafka received the original record, in UTC.

        The failure of a retry has the time of the original record too.
        """
        return _at(self.failure.origin.timestamp_ms)


def decode_failure(record: Record, group: str) -> FailedRecord:
    """Return the failure that a record's headers describe.

    If the headers are invalid, return the result of `undecodable_failure`.
    """
    headers = _storable(record.headers)
    try:
        failure = LeadFailed.from_headers(headers)
        if not (
            -_INT4 <= failure.origin.partition < _INT4
            and -_INT8 <= failure.origin.offset < _INT8
            and (failure.stage in topics.RETRY or _is_hook_lead(failure))
        ):
            raise ValueError("the origin or the stage is out of range")
    except (ValueError, OverflowError, OSError):
        return undecodable_failure(record, group, Reason.FAILURE_UNDECODABLE)
    if topics.is_audit(failure.origin.topic):
        # An audit record has no lead: its key is the X-Request-ID. Older persisters report the kind `store`.
        failure = failure.model_copy(update={"kind": AUDIT_KIND})
        return FailedRecord(record, failure, None, _decode_headers(headers), by_origin=True)
    by_origin = _is_hook_lead(failure) or (
        failure.stage == "persister" and failure.reason in (Reason.CONFLICT, Reason.UNDECODABLE)
    )
    return FailedRecord(record, failure, _lead_id(record.key), _decode_headers(headers), by_origin)


def undecodable_failure(record: Record, group: str, reason: str) -> FailedRecord:
    """Return a `FailedRecord` with a final failure, for a record that cannot be processed further.

    The row in the replay queue becomes dead, so that an admin can examine the record. The failure does not
    depend on the record's headers: its origin is the position of this record.
    """
    origin = Origin.of(record, group)
    failure = LeadFailed(
        event_id=failure_event_id(record, "persister", "store"),
        occurred_at=_at(origin.timestamp_ms),  # the timestamp of the origin, which is clamped
        stage="persister",
        kind="store",
        final=True,
        reason=reason,
        error="runtime.failures.PermanentError",
        origin=origin,
    )
    return FailedRecord(
        record, failure, _lead_id(record.key), _decode_headers(_storable(record.headers)), by_origin=True
    )


def strip_personal_data(failed: FailedRecord) -> FailedRecord:
    """Return the record of an erased lead without its key, value and headers."""
    emptied = replace(failed.record, key=None, value=None, headers=())
    return replace(failed, record=emptied, kept_headers={})


def dead_event_id(failure: LeadFailed) -> UUID:
    """Return the event id of a failure's dead letter.

    If the dead letter is published twice, the id is the same.
    """
    return uuid5(failure.event_id, AuditEvent.LEAD_DEAD)


def audit_entry(
    event: AuditEvent,
    failure: LeadFailed,
    lead_id: UUID | None,
    *,
    actor: str,
    details: dict[str, str] | None = None,
) -> AuditRecorded:
    """Return the audit entry for a failure, a dead row or a replay. The entry contains no personal data."""
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


def _is_hook_lead(failure: LeadFailed) -> bool:
    return failure.stage == SITE and failure.origin.topic.startswith(HOOK_ORIGIN)


def _storable(headers: tuple[tuple[str, bytes | None], ...]) -> h.Headers:
    # A header may be null or hold any bytes; PostgreSQL's text holds no NUL.
    return [(name, value.replace(b"\x00", b"")) for name, value in headers if value is not None]


def _decode_headers(headers: h.Headers) -> dict[str, str]:
    return {name: value for name in h.PASSED_ON if (value := h.text(headers, name))}


def _lead_id(key: bytes | None) -> UUID | None:
    try:
        return UUID((key or b"").decode())
    except ValueError:
        return None


def _at(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
