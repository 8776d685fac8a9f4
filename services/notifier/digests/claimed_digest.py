"""A digest that this process sends now, and the alerts that it lists. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contracts import headers
from contracts.leads import LeadReceived
from services.notifier.collected_alerts import StoredRecord
from services.notifier.mail.alert_digest import ListedLead


@dataclass(frozen=True)
class CollectedAlert:
    """An alert that a digest lists: the record that requested it, and what the digest shows of the lead."""

    lead_id: UUID
    record_id: UUID
    record: StoredRecord
    request_id: str
    listed: ListedLead

    @property
    def queue_id(self) -> UUID | None:
        """Return the id of the `replay_queue` row from which the record was sent, if it is a retry."""
        return headers.uuid(self.record.headers, headers.QUEUE_ID)


@dataclass(frozen=True)
class ClaimedDigest:
    """A digest that this process sends now.

    `attempts` is the number of attempts that failed. `is_interrupted` is True if the process that was sending
    it died, maybe after it wrote the body.
    """

    digest_id: UUID
    site: str
    recipients: tuple[str, ...]
    part: int
    parts: int
    attempts: int
    alerts: tuple[CollectedAlert, ...]
    is_interrupted: bool


def alert_of(row: Any) -> CollectedAlert:
    """Return an alert with the fields of the stored lead, or of the record if the lead is not stored yet."""
    lead = LeadReceived.model_validate_json(row["payload"])
    if row["status"] is None:
        values: Iterable[str | None] = (lead.name, lead.email, lead.phone, lead.service, lead.message)
    else:
        values = (row[name] for name in ("name", "email", "phone", "service", "message"))
    name, email, phone, service, message = (value or "" for value in values)
    listed = ListedLead(
        row["lead_id"],
        row["created_at_utc"] or lead.occurred_at,
        name,
        email or phone,
        service,
        message,
    )
    return CollectedAlert(row["lead_id"], row["record_id"], StoredRecord.of(row), lead.request_id, listed)
