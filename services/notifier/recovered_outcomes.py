"""What became of mails that the database has forgotten, from Kafka's records. No I/O, no clock."""

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self
from uuid import UUID

from contracts.audit import AuditEvent
from runtime.database.ledger import Outcome
from runtime.kafka.batch_processor import Record
from services.notifier import batch_plan
from services.notifier.batch_plan import Delivery, Key, Row

EVENTS: Final = {
    "sent": AuditEvent.EMAIL_SENT,
    "waiting": AuditEvent.EMAIL_FAILED,
    "dead": AuditEvent.EMAIL_FAILED,
    "unknown": AuditEvent.EMAIL_UNKNOWN,
    "suppressed": AuditEvent.EMAIL_SUPPRESSED,
}


class Place(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int
    timestamp: int

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the place of a record."""
        return cls(record.topic, record.partition, record.offset, record.timestamp)

    def is_newer_than(self, other: "Place") -> bool:
        """Compare by time only what has no order: a topic may get more partitions."""
        if self[:2] == other[:2]:
            return self.offset > other.offset
        return self.timestamp > other.timestamp


# The newest retry of each mail.
Newest = dict[Key, Place]


class Failed(NamedTuple):
    """How a mail failed, and the time of the record that first failed, in milliseconds since 1970."""

    error: str
    origin_ms: str | None


@dataclass(frozen=True)
class Remembered:
    """One mail, and the state in which the notifier had left it."""

    delivery: Delivery
    state: str
    reason: str


def find_newest(records: Sequence[Record], newest: Newest) -> Newest:
    """Bring `newest` up to date with these records, which are read partition by partition.

    Several records may ask for one mail again, and of those in one batch only the last one has an outcome.
    """
    for record, lead in batch_plan.read(records).leads:
        if kind := batch_plan.kind_of(record):
            key, place = (lead.lead_id, kind), Place.of(record)
            if key not in newest or place.is_newer_than(newest[key]):
                newest[key] = place
    return newest


def remember(
    records: Sequence[Record],
    rows: MutableMapping[Key, Row],
    statuses: Mapping[UUID, str],
    failures: Mapping[str, Failed],
    forgotten: Collection[int],
    newest: Newest | None = None,
) -> tuple[list[Remembered], list[Outcome]]:
    """Return what became of the mails of records that the notifier had committed, and how the records count.

    A failure is published under an id made from the record in hand before anything is committed: a mail
    without one was sent, or suppressed. `rows` are those of the records' leads and are brought up to date,
    `failures` are by id, `forgotten` the records (by `id()`) that the ledger lacks. Of several retries of a
    mail only the newest below the commit says what became of it; without `newest` it is among `records`.
    """
    newest = find_newest(records, {}) if newest is None else newest
    mails, outcomes = list[Remembered](), list[Outcome]()
    for record in records:
        leads = batch_plan.read([record]).leads
        if not leads:
            outcomes.append("undecodable")
            continue
        (_, lead) = leads[0]
        first = not any((lead.lead_id, kind) in rows for kind in batch_plan.KINDS)
        outcomes.append("stored" if first else "duplicate")
        for delivery in batch_plan.deliveries(record, lead, first=first):
            is_newest = newest.get(delivery.key) in (None, Place.of(record))
            if delivery.retry and delivery.key in rows and not is_newest:
                continue
            if _is_forgotten(delivery, rows.get(delivery.key), lacked=id(record) in forgotten):
                mail = _remembered(delivery, statuses.get(lead.lead_id), failures)
                mails.append(mail)
                rows[delivery.key] = Row(mail.state, None, 0.0, delivery.record_id)
    return mails, outcomes


def _is_forgotten(delivery: Delivery, row: Row | None, *, lacked: bool) -> bool:
    """Return True where the row does not show what became of this record's mail."""
    if row is None:
        return lacked
    if delivery.settled(row):
        return False
    if row.state in ("reserved", "sending"):
        # Reserved for this record: a row has no outcome before its first one, and one before each retry.
        # The next retry may be in hand: that counts when the lease is over.
        if delivery.retry:
            return row.settled_by is not None and row.lease_seconds <= 0
        return row.settled_by is None
    return delivery.retry and lacked


def _remembered(delivery: Delivery, status: str | None, failures: Mapping[str, Failed]) -> Remembered:
    if reason := batch_plan.barred(delivery, status, (), limit=1):
        return Remembered(delivery, "suppressed", reason)
    if failed := _failure(delivery, failures):
        state = failed.error.rpartition(".")[2]
        return Remembered(delivery, state if state in EVENTS else "unknown", "failed, as Kafka's records say")
    return Remembered(delivery, "sent", "sent, as Kafka's records say")


def _failure(delivery: Delivery, failures: Mapping[str, Failed]) -> Failed | None:
    if failed := failures.get(str(delivery.record_id)):
        return failed
    # Published by an earlier version. Of a lost record at this offset it has another time.
    failed = failures.get(str(delivery.legacy_id))
    return failed if failed and failed.origin_ms == str(delivery.origin_ms) else None
