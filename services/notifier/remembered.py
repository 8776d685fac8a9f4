"""What became of mails that the database has forgotten, from Kafka's records. No I/O, no clock."""

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contracts.audit import AuditEvent
from runtime.delivery import Record
from runtime.ledger import Outcome
from services.notifier import plan
from services.notifier.plan import Delivery, Key, Row

EVENTS: Final = {
    "sent": AuditEvent.EMAIL_SENT,
    "waiting": AuditEvent.EMAIL_FAILED,
    "dead": AuditEvent.EMAIL_FAILED,
    "unknown": AuditEvent.EMAIL_UNKNOWN,
    "suppressed": AuditEvent.EMAIL_SUPPRESSED,
}


@dataclass(frozen=True)
class Remembered:
    """One mail, and the state in which the notifier had left it."""

    delivery: Delivery
    state: str
    reason: str


def remember(
    records: Sequence[Record],
    rows: MutableMapping[Key, Row],
    statuses: Mapping[UUID, str],
    failures: Mapping[str, str],
    forgotten: Collection[int],
) -> tuple[list[Remembered], list[Outcome]]:
    """Return what became of the mails of records that the notifier had committed, and how the records count.

    A failure is published under an id made from the record in hand before anything is committed: a mail
    without one was sent, or suppressed. `rows` are those of the records' leads and are brought up to date,
    `failures` the errors by id, `forgotten` the records (by `id()`) that the ledger lacks.
    """
    mails, outcomes = list[Remembered](), list[Outcome]()
    for record in records:
        leads = plan.read([record]).leads
        if not leads:
            outcomes.append("undecodable")
            continue
        (_, lead) = leads[0]
        first = not any((lead.lead_id, kind) in rows for kind in plan.KINDS)
        outcomes.append("stored" if first else "duplicate")
        for delivery in plan.deliveries(record, lead, first=first):
            if _is_forgotten(delivery, rows.get(delivery.key), lacked=id(record) in forgotten):
                mail = _remembered(delivery, statuses.get(lead.lead_id), failures)
                mails.append(mail)
                rows[delivery.key] = Row(mail.state, None, 0.0, delivery.record_id)
    return mails, outcomes


def _is_forgotten(delivery: Delivery, row: Row | None, *, lacked: bool) -> bool:
    """Return True where the row does not show what became of this record's mail."""
    if row is None:
        return lacked
    if row.settled_by == delivery.record_id:
        return False
    if row.state in ("reserved", "sending"):
        # Reserved for this record: a row has no outcome before its first one, and one before each retry.
        # One retry may be long settled and the next one in hand, so that counts when the lease is over.
        if delivery.retry:
            return row.settled_by is not None and row.lease_seconds <= 0
        return row.settled_by is None
    return delivery.retry and lacked


def _remembered(delivery: Delivery, status: str | None, failures: Mapping[str, str]) -> Remembered:
    if reason := plan.barred(delivery, status, (), limit=1):
        return Remembered(delivery, "suppressed", reason)
    if error := failures.get(str(delivery.record_id)):
        state = error.rpartition(".")[2]
        return Remembered(delivery, state if state in EVENTS else "unknown", "failed, as Kafka's records say")
    return Remembered(delivery, "sent", "sent, as Kafka's records say")
