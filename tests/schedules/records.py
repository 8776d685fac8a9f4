"""The records that a schedule publishes, made from its seed."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID

from contracts import topics
from contracts.audit import AuditEvent, AuditRecorded
from contracts.leads import LeadReceived
from tests.schedules.flusher.failures import SHAPES as FAILURES
from tests.schedules.flusher.failures import Made, make_failure
from tests.schedules.notifier.smtp_server import GREYLISTED, UNKNOWN_MAILBOX

_AT: Final = datetime(2026, 11, 30, tzinfo=UTC)
# The first part of the address of leads to which the mail server does something of its own.
_PREFIXES: Final = {"unknown_mailbox": UNKNOWN_MAILBOX, "greylisted": GREYLISTED}


@dataclass
class Records:
    """Makes records of each shape."""

    rng: Random
    leads: list[LeadReceived] = field(default_factory=list)
    failures: list[Any] = field(default_factory=list)  # the records of leads.failed.v1
    refused: set[str] = field(default_factory=set)  # the lead ids that the database refuses for now

    def make(self, shape: str) -> Made:
        """Return the topic, the key, the value and the headers of a record."""
        if shape in FAILURES:
            return make_failure(self, shape)
        if shape == "rejection":
            return topics.AUDIT.name, b"request", self._rejection(), []
        if shape == "poison":
            return topics.RECEIVED.name, b"poison", b"{" + self.rng.randbytes(6), []
        if shape == "null":
            return topics.RECEIVED.name, b"null", None, []
        lead = self._lead(_PREFIXES.get(shape, ""))
        if self.leads and shape in ("repeat", "conflict"):
            lead = self.rng.choice(self.leads)
            if shape == "conflict":
                lead = lead.model_copy(update={"body_sha256": self._hash()})
        else:
            self.leads.append(lead)
        if shape == "refused":
            self.refused.add(str(lead.lead_id))
        return topics.RECEIVED.name, str(lead.lead_id).encode(), lead.model_dump_json().encode(), []

    def value_of(self, lead_id: UUID) -> bytes:
        """Return the value of a lead's record."""
        return next(each for each in self.leads if each.lead_id == lead_id).model_dump_json().encode()

    def _lead(self, prefix: str) -> LeadReceived:
        number = len(self.leads)
        return LeadReceived(
            event_id=self.next_uuid(),
            occurred_at=_AT,
            lead_id=self.next_uuid(),
            request_id=f"request-{number}",
            site="default",
            body_sha256=self._hash(),
            name="Ada Lovelace",
            email=f"{prefix}ada-{number}@example.com",
            service="Web design",
            message="Please call me about a new site.",
        )

    def _rejection(self) -> bytes:
        entry: Any = AuditRecorded(
            event_id=self.next_uuid(),
            occurred_at=_AT,
            event=AuditEvent.LEAD_REJECTED,
            actor="default",
            status_code=422,
            lead_id=None,
            request_id="request",
            details={"code": "invalid"},
        )
        return bytes(entry.model_dump_json().encode())

    def next_uuid(self) -> UUID:
        """Return a random id."""
        return UUID(bytes=self.rng.randbytes(16), version=4)

    def _hash(self) -> str:
        return hashlib.sha256(self.rng.randbytes(8)).hexdigest()
