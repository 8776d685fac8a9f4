"""Finds the deliveries that each record of a batch requests. A delivery is one mail of one lead. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from contracts import headers, topics
from contracts.canary import canary_of
from contracts.failures import Kind, Origin, failure_event_id, first_origin, legacy_failure_event_id
from contracts.leads import LeadReceived
from runtime.kafka.handler import Record

Key = tuple[UUID, Kind]

KINDS: Final[tuple[Kind, ...]] = ("welcome", "admin_alert")
STAGE: Final = "notifier"


@dataclass(frozen=True)
class Delivery:
    """One mail of one lead, and the record that requests it.

    `retry` is True for a record of the retry topic.
    """

    record: Record
    lead: LeadReceived
    kind: Kind
    retry: bool

    @property
    def key(self) -> Key:
        """Return the primary key of the delivery in `email_delivery`: the lead id and the kind of mail."""
        return self.lead.lead_id, self.kind

    @cached_property
    def record_id(self) -> UUID:
        """Return an id made from the record's position and the kind of mail.

        If the mail fails, this is the event id of the failure.
        """
        return failure_event_id(self.record, STAGE, self.kind)

    @cached_property
    def legacy_record_id(self) -> UUID:
        """Return the `record_id` that earlier versions derived for this delivery."""
        return legacy_failure_event_id(self.record, STAGE, self.kind)

    @property
    def origin_ms(self) -> int:
        """Return the timestamp in ms of the original record.

        If `record` is a retry, its headers contain this timestamp. Otherwise `record` is the original record.
        """
        return first_origin(self.record.headers, Origin.of(self.record, "")).timestamp_ms

    def has_outcome_in(self, row: "DeliveryRow") -> bool:
        """Return True if `row` already has the outcome of this delivery.

        Earlier versions stored the `legacy_record_id` in `row` instead of the `record_id`.
        """
        return row.settled_by in (self.record_id, self.legacy_record_id)

    @property
    def queue_id(self) -> UUID | None:
        """Return the id of the `replay_queue` row from which the record was sent.

        Returns None if the record is not a retry of this kind of mail.
        """
        if not self.retry or requested_kind(self.record) != self.kind:
            return None
        return headers.uuid(self.record.headers, headers.QUEUE_ID)


@dataclass(frozen=True)
class DeliveryRow:
    """A row of `email_delivery`.

    `owner` is the id of the process that reserved the mail. `lease_seconds` is the time until the reservation
    ends. `settled_by` is the `record_id` of the delivery whose outcome the row contains. `in_digest` is True
    if the mail is an alert that is listed in the next digest, or in one that is being sent.
    """

    state: str
    owner: UUID | None
    lease_seconds: float
    settled_by: UUID | None
    in_digest: bool = False


@dataclass
class DecodedBatch:
    """A decoded batch: each lead with its record, the canaries, and the records that cannot be decoded."""

    leads: list[tuple[Record, LeadReceived]] = field(default_factory=list)
    canaries: list[tuple[Record, LeadReceived]] = field(default_factory=list)
    undecodable: list[Record] = field(default_factory=list)

    def by_lead(self) -> dict[UUID, list[tuple[Record, LeadReceived]]]:
        """Return the records of each lead, by lead id.

        The lead ids are sorted. The records of a lead are in the order of the batch.
        """
        grouped = dict[UUID, list[tuple[Record, LeadReceived]]]()
        for record, lead in self.leads:
            grouped.setdefault(lead.lead_id, []).append((record, lead))
        return dict(sorted(grouped.items()))


def decode_batch(records: Sequence[Record]) -> DecodedBatch:
    """Decode every record. An undecodable record is only counted; the persister publishes its failure."""
    batch = DecodedBatch()
    for record in records:
        leads = batch.canaries if canary_of(record.headers) else batch.leads
        try:
            leads.append((record, LeadReceived.model_validate_json(record.value or b"")))
        except ValidationError:
            batch.undecodable.append(record)
    return batch


def requested_kind(record: Record) -> Kind | None:
    """Return the kind of mail that a record of the retry topic requests, or None for any other record."""
    if record.topic.endswith(topics.RETRY_NOTIFIER.name):
        name = headers.text(record.headers, headers.KIND)
        for kind in KINDS:
            if kind == name:
                return kind
    return None


def requested_deliveries(record: Record, lead: LeadReceived, *, first: bool) -> list[Delivery]:
    """Return the mails that a record requests.

    `first` is True if the lead has no rows in `email_delivery` yet. The record then requests both kinds of
    mail. If `first` is False, a retry requests one kind, and any other record requests both.
    """
    kind = requested_kind(record)
    kinds = KINDS if first or kind is None else (kind,)
    return [Delivery(record, lead, each, kind is not None) for each in kinds]
