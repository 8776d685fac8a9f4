"""What a batch of records means: decided here, written elsewhere. No I/O, no clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from pydantic import JsonValue, ValidationError

from contracts import headers, topics
from contracts.audit import AuditEvent, AuditRecorded, LeadRejected
from contracts.failures import AUDIT_KIND, Kind, Origin, failure_event_id, first_origin, within_calendar
from contracts.leads import LeadReceived
from contracts.reasons import Reason
from runtime.database.circuit_breaker import LIMIT
from runtime.failures import RetryableError
from runtime.kafka.handler import Record

# Records read while the database writes as many: some 8 ms, in which nothing else in the process runs. The
# database waits for the first part of a batch: with 500 a backlog drained some 3 % slower.
PART: Final = 250


@dataclass
class Batch:
    """A batch, read. Leads and entries stand with their records, in the order of the records."""

    records: Sequence[Record]
    leads: list[tuple[Record, LeadReceived]] = field(default_factory=list)
    entries: list[tuple[Record, LeadRejected]] = field(default_factory=list)
    undecodable: list[Record] = field(default_factory=list)

    def first_records(self) -> dict[UUID, tuple[Record, LeadReceived]]:
        """Return each lead's first record: a later one with the same id is a duplicate or a conflict."""
        first = dict[UUID, tuple[Record, LeadReceived]]()
        for record, lead in self.leads:
            first.setdefault(lead.lead_id, (record, lead))
        return first

    def replays(self) -> list[UUID]:
        """Return the replay-queue rows that sent records of this batch to this stage."""
        taken = [record for record, _ in (*self.leads, *self.entries)]
        return [queue_id for record in taken if (queue_id := queue_id_of(record))]


def decode_in_parts(records: Sequence[Record]) -> Iterator[Batch]:
    """Decode records part by part, each when it is asked for.

    Raises `RetryableError` if so many cannot be decoded that the breaker must be checked between them: then
    the batch is halved, and comes again.
    """
    undecodable = 0
    for first in range(0, len(records), PART):
        part = read(records[first : first + PART])
        undecodable += count_leads(part.undecodable)
        if undecodable > LIMIT:
            raise RetryableError(Reason.TOO_MANY_UNDECODABLE)
        yield part


def read(records: Sequence[Record]) -> Batch:
    """Decode every record; one that cannot be decoded is set aside with its bytes untouched."""
    batch = Batch(records)
    for record in records:
        try:
            if topics.is_audit(record.topic):
                batch.entries.append((record, _decode_entry(record.value or b"")))
            else:
                batch.leads.append((record, LeadReceived.model_validate_json(record.value or b"")))
        except ValidationError:
            batch.undecodable.append(record)
    return batch


def _decode_entry(value: bytes) -> LeadRejected:
    """Decode an entry under an id derived from its own: a chosen id could suppress an entry of another event.

    Anybody who knows its topic, offset and time can compute a failure's id. A repeat of the record
    still gets the same id.
    """
    entry = LeadRejected.model_validate_json(value)
    return entry.model_copy(update={"event_id": uuid5(entry.event_id, AuditEvent.LEAD_REJECTED)})


def count_leads(records: Sequence[Record]) -> int:
    """Count the records of leads: what becomes of audit records says nothing of the leads."""
    return sum(not topics.is_audit(record.topic) for record in records)


def kind_of(record: Record) -> Kind:
    """Return the kind of a failure of this record: that of audit records, or that of leads."""
    origin = first_origin(record.headers, Origin.of(record, ""))
    return AUDIT_KIND if topics.is_audit(origin.topic) else "store"


def queue_id_of(record: Record) -> UUID | None:
    """Return the replay-queue row that sent this record, where one did and it is ours."""
    if headers.text(record.headers, headers.STAGE) != "persister":
        return None
    try:
        return UUID(headers.text(record.headers, headers.QUEUE_ID) or "")
    except ValueError:
        return None


def rejected_entry(entry: LeadRejected) -> AuditRecorded:
    """Return the entry to store of a refused request: what the gateway reports, and nothing else.

    Whoever may write to the topic chose the rest. The time is the database's own; the sender's is a detail.
    """
    details: dict[str, JsonValue] = {"sent_at": entry.occurred_at.isoformat()}
    code, fields = entry.details.get("code"), entry.details.get("fields")
    if isinstance(code, str):
        details["code"] = code[:100]
    if isinstance(fields, list):
        details["fields"] = [each[:100] for each in fields[:100] if isinstance(each, str)]
    return entry.model_copy(update={"lead_id": None, "details": details})


def received_entry(record: Record, lead: LeadReceived) -> AuditRecorded:
    """Write the audit entry of a lead that was stored: where it came from, nothing that was typed."""
    details: dict[str, JsonValue] = {
        "site": lead.site,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        # When it came to Kafka; for one that had to wait on the gateway's disk, later than its 201.
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
    """Write the audit entry of a second body under one key; named after its record, so a repeat is one."""
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
