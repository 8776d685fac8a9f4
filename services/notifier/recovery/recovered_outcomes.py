"""Derives mail outcomes that the database has lost, from Kafka's records. No I/O, no clock."""

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self
from uuid import UUID

from runtime.database.ledger import Outcome
from runtime.kafka.handler import Record
from services.notifier.batch_plan import suppression_reason
from services.notifier.deliveries import (
    KINDS,
    Delivery,
    DeliveryRow,
    Key,
    decode_batch,
    requested_deliveries,
    requested_kind,
)
from services.notifier.delivery_values import AUDIT_EVENTS


class RecordPosition(NamedTuple):
    """The partition, offset and timestamp (in ms) of a record."""

    topic: str
    partition: int
    offset: int
    timestamp: int

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the position of a record."""
        return cls(record.topic, record.partition, record.offset, record.timestamp)

    def is_newer_than(self, other: "RecordPosition") -> bool:
        """Return True if this record is newer than the other.

        Records of the same partition are compared by offset. Records of one lead can be in two partitions if
        the topic got more partitions meanwhile. These are compared by timestamp.
        """
        if self[:2] == other[:2]:
            return self.offset > other.offset
        return self.timestamp > other.timestamp


# The newest retry of each mail.
NewestRetries = dict[Key, RecordPosition]


class PublishedFailure(NamedTuple):
    """A published failure of a mail: its error (such as `smtp.dead`), and a timestamp in ms.

    The timestamp is that of the original record, before any retry.
    """

    error: str
    origin_ms: str | None


@dataclass(frozen=True)
class RecoveredOutcome:
    """The state of one mail and the reason for it, both derived from Kafka's records."""

    delivery: Delivery
    state: str
    reason: str


def update_newest_retries(records: Sequence[Record], newest: NewestRetries) -> NewestRetries:
    """Update `newest` with the retries among these records, and return `newest`.

    `newest` maps each mail to the position of its newest retry. Several records of a batch may retry one
    mail, and only the newest of them gets an outcome. The records of one partition must be in the order of
    their offsets.
    """
    for record, lead in decode_batch(records).leads:
        if kind := requested_kind(record):
            key, position = (lead.lead_id, kind), RecordPosition.of(record)
            if key not in newest or position.is_newer_than(newest[key]):
                newest[key] = position
    return newest


def recover_outcomes(
    records: Sequence[Record],
    rows: MutableMapping[Key, DeliveryRow],
    statuses: Mapping[UUID, str],
    failures: Mapping[str, PublishedFailure],
    uncounted: Collection[int],
    newest: NewestRetries | None = None,
) -> tuple[list[RecoveredOutcome], list[Outcome]]:
    """Return the outcomes that the database has lost, and the outcome that the ledger counts for each record.

    The offsets of `records` are committed. The notifier publishes the failure of a mail before it stores the
    mail's outcome. So a mail without a published failure was sent or suppressed.

    - `rows` are the stored rows of the records' leads. Recovered rows are added to `rows`.
    - `failures` are the published failures, by event id.
    - `uncounted` contains the `id()` of each record that the ledger does not count yet.
    - `newest` has the position of the newest committed retry of each mail. Only this retry decides the mail's
      state. By default, only the retries among `records` are considered.
    """
    newest = update_newest_retries(records, {}) if newest is None else newest
    mails, outcomes = list[RecoveredOutcome](), list[Outcome]()
    for record in records:
        batch = decode_batch([record])
        leads = batch.leads
        if batch.canaries:
            outcomes.append("canary")
            continue
        if not leads:
            outcomes.append("undecodable")
            continue
        (_, lead) = leads[0]
        first = not any((lead.lead_id, kind) in rows for kind in KINDS)
        outcomes.append("stored" if first else "duplicate")
        for delivery in requested_deliveries(record, lead, first=first):
            is_newest = newest.get(delivery.key) in (None, RecordPosition.of(record))
            if delivery.retry and delivery.key in rows and not is_newest:
                continue
            if _is_lost(delivery, rows.get(delivery.key), uncounted=id(record) in uncounted):
                mail = _recover(delivery, statuses.get(lead.lead_id), failures)
                mails.append(mail)
                rows[delivery.key] = DeliveryRow(mail.state, None, 0.0, delivery.record_id)
    return mails, outcomes


def _is_lost(delivery: Delivery, row: DeliveryRow | None, *, uncounted: bool) -> bool:
    """Return True if the row does not contain the outcome of the mail that this record requests."""
    if row is None:
        return uncounted
    if row.in_digest:  # the digest decides the outcome
        return False
    if delivery.has_outcome_in(row):
        return False
    if row.state in ("reserved", "sending"):
        # A row gets its first outcome with the first record of the mail, so a row without one is reserved for
        # the first record. A row that is reserved for a retry has the outcome of the previous record. If its
        # lease is valid, the row may be reserved for a later retry.
        if delivery.retry:
            return row.settled_by is not None and row.lease_seconds <= 0
        return row.settled_by is None
    return delivery.retry and uncounted


def _recover(
    delivery: Delivery, status: str | None, failures: Mapping[str, PublishedFailure]
) -> RecoveredOutcome:
    if reason := suppression_reason(delivery, status, (), limit=1):
        return RecoveredOutcome(delivery, "suppressed", reason)
    if failure := _find_failure(delivery, failures):
        state = failure.error.rpartition(".")[2]
        state = state if state in AUDIT_EVENTS else "unknown"
        return RecoveredOutcome(delivery, state, "failed, as Kafka's records say")
    return RecoveredOutcome(delivery, "sent", "sent, as Kafka's records say")


def _find_failure(delivery: Delivery, failures: Mapping[str, PublishedFailure]) -> PublishedFailure | None:
    if failure := failures.get(str(delivery.record_id)):
        return failure
    # Earlier versions derived the id from the offset. After the loss of a log another record may have had
    # the same offset, but its failure has another timestamp.
    failure = failures.get(str(delivery.legacy_record_id))
    return failure if failure and failure.origin_ms == str(delivery.origin_ms) else None
