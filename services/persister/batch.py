"""Decodes a batch of records and builds the audit entries for it. No I/O, no clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from pydantic import JsonValue, ValidationError

from contracts import headers, topics
from contracts.audit import AuditEvent, AuditRecorded, LeadRejected
from contracts.canary import canary_of
from contracts.failures import (
    AUDIT_KIND,
    Kind,
    Origin,
    failure_event_id,
    first_origin,
    queue_id_of,
    within_calendar,
)
from contracts.leads import LeadReceived
from contracts.reasons import Reason
from runtime.database.circuit_breaker import LIMIT
from runtime.failures import RetryableError
from runtime.kafka.handler import Record

# The number of records that are decoded while the database writes the previous ones. Decoding them takes
# about 8 ms, in which nothing else in the process runs. The database has to wait for the first part of a
# batch: with parts of 500 records, a backlog drained about 3 % slower.
PART_RECORDS: Final = 250


@dataclass
class DecodedBatch:
    """A decoded batch.

    Each lead, each canary and each audit entry is paired with its record, in the order of the records.
    """

    records: Sequence[Record]
    leads: list[tuple[Record, LeadReceived]] = field(default_factory=list)
    canaries: list[tuple[Record, LeadReceived]] = field(default_factory=list)
    entries: list[tuple[Record, LeadRejected]] = field(default_factory=list)
    undecodable: list[Record] = field(default_factory=list)

    def first_records(self) -> dict[UUID, tuple[Record, LeadReceived]]:
        """Return the first record of each lead, paired with the decoded lead, keyed by lead id.

        A later record with the same lead id is a duplicate or a conflict.
        """
        first = dict[UUID, tuple[Record, LeadReceived]]()
        for record, lead in self.leads:
            first.setdefault(lead.lead_id, (record, lead))
        return first

    def replays(self) -> list[UUID]:
        """Return the id of the `replay_queue` row of each retry in this batch.

        A retry is a record that the flusher sent again. Retries that cannot be decoded are left out.
        """
        decoded = [record for record, _ in (*self.leads, *self.entries)]
        return [queue_id for record in decoded if (queue_id := queue_id_of(record.headers, "persister"))]


def decode_in_parts(records: Sequence[Record]) -> Iterator[DecodedBatch]:
    """Decode records lazily, `PART_RECORDS` at a time.

    Raises `RetryableError` if the batch has more undecodable leads than the circuit breaker allows. The
    consumer then processes the two halves of the batch one after the other. So the breaker can stop the
    consumer after the first half.
    """
    undecodable = 0
    for first in range(0, len(records), PART_RECORDS):
        part = decode_batch(records[first : first + PART_RECORDS])
        undecodable += count_leads(part.undecodable)
        if undecodable > LIMIT:
            raise RetryableError(Reason.TOO_MANY_UNDECODABLE)
        yield part


def decode_batch(records: Sequence[Record]) -> DecodedBatch:
    """Decode every record. The records that cannot be decoded are in `undecodable`."""
    batch = DecodedBatch(records)
    for record in records:
        try:
            if topics.is_audit(record.topic):
                batch.entries.append((record, _decode_entry(record.value or b"")))
            else:
                leads = batch.canaries if canary_of(record.headers) else batch.leads
                leads.append((record, LeadReceived.model_validate_json(record.value or b"")))
        except ValidationError:
            batch.undecodable.append(record)
    return batch


def _decode_entry(value: bytes) -> LeadRejected:
    """Decode an audit entry, and give it a new id that is derived from its own.

    A redelivered record gets the same new id. The original id cannot be trusted: a producer could choose the
    id of another audit entry, such as that of a failure. The other entry would then be ignored as a
    duplicate.
    """
    entry = LeadRejected.model_validate_json(value)
    return entry.model_copy(update={"event_id": uuid5(entry.event_id, AuditEvent.LEAD_REJECTED)})


def count_leads(records: Sequence[Record]) -> int:
    """Return the number of leads. The other records are audit records, which the breaker does not count."""
    return sum(not topics.is_audit(record.topic) for record in records)


def kind_of(record: Record) -> Kind:
    """Return the kind under which a failure of this record is published.

    It is `AUDIT_KIND` for an audit record, and `store` for a lead.
    """
    origin = first_origin(record.headers, Origin.of(record, ""))
    return AUDIT_KIND if topics.is_audit(origin.topic) else "store"


def rejected_entry(entry: LeadRejected) -> AuditRecorded:
    """Return the audit entry to store for a refused request, with only the values that can be trusted.

    Any program that can write to the topic may have sent `entry`. So `lead_id` is removed, and `details`
    contains only `code` and `fields`, shortened. The time in `entry` is stored as `details["sent_at"]`,
    because the stored entry gets the database's time.
    """
    details: dict[str, JsonValue] = {"sent_at": entry.occurred_at.isoformat()}
    code, fields = entry.details.get("code"), entry.details.get("fields")
    if isinstance(code, str):
        details["code"] = code[:100]
    if isinstance(fields, list):
        details["fields"] = [each[:100] for each in fields[:100] if isinstance(each, str)]
    return entry.model_copy(update={"lead_id": None, "details": details})


def received_entry(record: Record, lead: LeadReceived) -> AuditRecorded:
    """Return the audit entry of a stored lead.

    The entry contains the record's topic, partition and offset, but nothing that a visitor typed.
    """
    details: dict[str, JsonValue] = {
        "site": lead.site,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        # When Kafka got the record. A spooled lead had its 201 before that.
        "published_at": _published_at(record).isoformat(),
    }
    if headers.text(record.headers, headers.SPOOLED) == "true":
        details["spooled"] = True
    if lead.spam_reasons:
        details["spam_reasons"] = list(lead.spam_reasons)
    return AuditRecorded(
        event_id=lead.event_id,
        occurred_at=lead.occurred_at,
        event=AuditEvent.LEAD_RECEIVED,
        actor=lead.site,
        status_code=201,
        lead_id=lead.lead_id,
        request_id=lead.request_id,
        details=details,
    )


def _published_at(record: Record) -> datetime:
    return datetime.fromtimestamp(within_calendar(record.timestamp) / 1000, UTC)


def conflict_entry(record: Record, lead: LeadReceived) -> AuditRecorded:
    """Return the audit entry of a conflict: a lead whose id is already stored with another body.

    The id of the entry is derived from the record, so a redelivery adds no second entry.
    """
    failure = failure_event_id(record, "persister", "store")
    return AuditRecorded(
        event_id=uuid5(failure, AuditEvent.LEAD_CONFLICT),
        occurred_at=lead.occurred_at,
        event=AuditEvent.LEAD_CONFLICT,
        actor=lead.site,
        status_code=409,
        lead_id=lead.lead_id,
        request_id=lead.request_id,
        details={"topic": record.topic, "partition": record.partition, "offset": record.offset},
    )
