"""What became of mails since a backup, from the records that Kafka holds. Pure: no I/O, no clock."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contracts.audit import AuditEvent
from runtime.delivery import Record
from runtime.ledger import Outcome
from services.notifier import plan
from services.notifier.plan import Delivery

_EVENTS: Final = {
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

    @property
    def event(self) -> AuditEvent:
        """Return the audit event that the notifier wrote of it then."""
        return _EVENTS[self.state]

    @staticmethod
    def lead_id(record: Record) -> UUID | None:
        """Return whose record it is, None where it cannot be decoded."""
        return next((lead.lead_id for _, lead in plan.read([record]).leads), None)


def remember(
    records: Sequence[Record],
    known: Collection[UUID],
    statuses: Mapping[UUID, str],
    failures: Mapping[str, str],
) -> tuple[list[Remembered], list[Outcome]]:
    """Tell of records that the notifier had committed what became of their mails, and how they count.

    A failure is published under an id made from the record in hand before anything is committed: a mail
    without one was sent, or suppressed. `known` are leads that have their rows, `failures` the words by id.
    """
    mails, outcomes, seen = list[Remembered](), list[Outcome](), set(known)
    for record in records:
        leads = plan.read([record]).leads
        if not leads:
            outcomes.append("undecodable")
            continue
        (_, lead) = leads[0]
        first = lead.lead_id not in seen
        outcomes.append("stored" if first else "duplicate")
        seen.add(lead.lead_id)
        for delivery in plan.deliveries(record, lead, first=first):
            if first or delivery.retry:
                mails.append(_remembered(delivery, statuses.get(lead.lead_id), failures))
    return mails, outcomes


def _remembered(delivery: Delivery, status: str | None, failures: Mapping[str, str]) -> Remembered:
    if reason := plan.barred(delivery, status, (), limit=1):
        return Remembered(delivery, "suppressed", reason)
    if error := failures.get(str(delivery.record_id)):
        state = error.rpartition(".")[2]
        return Remembered(delivery, state if state in _EVENTS else "unknown", "failed before the restore")
    return Remembered(delivery, "sent", "sent before the restore")
