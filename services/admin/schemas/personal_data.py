"""Responses about a person's data: an export, and the result of an erasure. No I/O, no clock."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field, JsonValue

from contracts import topics
from contracts.leads import LeadReceived
from services.admin.schemas.leads import AuditEntry

# Leads of one address that a page lists, and ids that one form sends: a form may have 1,000 fields.
LISTED_MAX: Final = 500


class KafkaKeeps(BaseModel):
    """A topic that may still contain the lead's record. Kafka deletes records by age only."""

    topic: str
    until: datetime


class PersonQueueRow(BaseModel):
    """A row of the replay queue with its record, decoded if possible."""

    id: UUID
    stage: str
    kind: str
    state: str
    reason: str
    headers: dict[str, JsonValue]
    payload: JsonValue
    original_payload: JsonValue
    first_failed_at: datetime
    last_failed_at: datetime


class PersonData(BaseModel):
    """Everything that is stored of a lead. `lead` has `original`, the fields before the first edit."""

    exported_at: datetime
    lead: dict[str, Any] | None
    emails: list[dict[str, Any]]
    queue: list[PersonQueueRow]
    audit: list[AuditEntry]
    other_leads: list[UUID] = Field(description="Other leads of the same address: export each one too.")
    kafka: list[KafkaKeeps]


class Erased(BaseModel):
    """The result of erasing a lead. `already` means that it was erased before, at `erased_at`."""

    lead_id: UUID
    already: bool
    erased_at: datetime
    was_stored: bool
    mails_emptied: int
    queue_rows_emptied: int
    kafka: list[KafkaKeeps]
    message: str


class ErasePerson(BaseModel):
    """Whose leads to erase. It is a body, so that the address is in no URL."""

    email: EmailStr


class ErasedPerson(BaseModel):
    """The results for the leads of one address. `failed` has the reason of each that was not erased."""

    erased: list[Erased]
    records: list[UUID] = Field(
        description="Queue rows with a record of this address that belong to no lead, or to another's id."
    )
    failed: dict[UUID, str]
    message: str


class PersonLead(BaseModel):
    """One lead of a person. `status` is null if the lead is not stored yet.

    `email` is the current address, which may differ from the one searched for if an admin edited it. `name`
    and `email` of a lead that is not stored are those of its record, if that can be read.
    """

    lead_id: UUID
    created_at_utc: datetime
    name: str | None
    email: str | None
    site: str | None
    service: str | None
    status: str | None
    emails: int
    queue_rows: int


class PersonRecords(BaseModel):
    """What an erasure of a person would erase. `leads` are newest first, without erased ones."""

    leads: list[PersonLead] = Field(default_factory=list)
    records: list[UUID] = Field(
        default_factory=list,
        description="Queue rows of this address that belong to no lead, or to another's id.",
    )


@dataclass(frozen=True)
class Traces:
    """Where an address is stored: leads, and rows of the queue that belong to no lead of the address."""

    leads: frozenset[UUID] = frozenset()
    records: frozenset[UUID] = frozenset()

    def __or__(self, other: "Traces") -> "Traces":
        """Return the union of both."""
        return Traces(self.leads | other.leads, self.records | other.records)


@dataclass(frozen=True)
class Selection:
    """What to erase of what an address left behind. `records`: None means all of them.

    `own_lead` is erased whether the address finds it or not.
    """

    leads: frozenset[UUID]
    records: frozenset[UUID] | None = None
    own_lead: UUID | None = None

    def choose(self, person: Traces) -> Traces:
        """Return what is selected. An id that the address does not find is left out."""
        own = {self.own_lead} if self.own_lead else set()
        records = person.records if self.records is None else person.records & self.records
        return Traces((person.leads & self.leads) | own, records)


def has_address(lead: PersonLead, email: str) -> bool:
    """Return False if the lead's current address is another one: somebody corrected it."""
    return lead.email is None or lead.email.lower() == email.lower()


def addresses_of(
    lead: Mapping[str, Any] | None, emails: Sequence[Mapping[str, Any]], queue: Sequence[Mapping[str, Any]]
) -> set[str]:
    """Return all addresses of a lead in lower case: current, original, mailed to, or queued."""
    found = {lead["email"], (lead["original"] or {}).get("email")} if lead else set()
    found |= {mail["recipient"] for mail in emails if mail["kind"] == "welcome"}
    found |= {address for row in queue if not row["by_origin"] for address in row["addresses"]}
    return {address.lower() for address in found if address}


def own_rows(
    lead: Mapping[str, Any] | None, queue: Sequence[Mapping[str, Any]], theirs: set[str]
) -> list[Mapping[str, Any]]:
    """Return a lead's queue rows, except rows with another person's record, as erase_lead does in SQL."""
    unknown = not theirs and (lead is None or lead["status"] != "erased")
    return [
        row
        for row in queue
        if not row["by_origin"] or unknown or not row["addresses"] or theirs & set(row["addresses"])
    ]


def erased_words(leads: int, records: int) -> str:
    """Return the message about an erasure."""
    said = f"The personal data of {leads} {'lead' if leads == 1 else 'leads'}"
    if records:
        said += f" and {records} {'record' if records == 1 else 'records'} in the queue"
    return f"{said} of this address {'was' if leads + records == 1 else 'were'} deleted."


def kafka_keeps(at: datetime) -> list[KafkaKeeps]:
    """Return the topics that may contain records written up to `at`, and until when."""
    return [
        KafkaKeeps(topic=topic.name, until=at + timedelta(milliseconds=topic.retention_ms))
        for topic in topics.ALL
        if topic is not topics.AUDIT
    ]


def shown(row: Mapping[str, Any]) -> PersonQueueRow:
    """Return a row of the queue with its record, decoded if possible."""
    return PersonQueueRow(
        id=row["id"],
        stage=row["stage"],
        kind=row["kind"],
        state=row["state"],
        reason=row["reason"],
        headers=row["headers"],
        payload=_decoded(row["payload"]),
        original_payload=_decoded(row["original_payload"]),
        first_failed_at=row["first_failed_at"],
        last_failed_at=row["last_failed_at"],
    )


def _decoded(payload: bytes | None) -> Any:
    """Return a record as a lead, or its bytes in base64 if it cannot be decoded."""
    if payload is None:
        return None
    try:
        return LeadReceived.model_validate_json(payload).model_dump(mode="json")
    except ValueError:
        return {"base64": b64encode(payload).decode()}
