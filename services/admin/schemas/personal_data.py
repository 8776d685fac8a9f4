"""What admins see of a person's data: all that we hold, and what erasing did. No I/O, no clock."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field, JsonValue

from contracts import topics
from contracts.leads import LeadReceived
from services.admin.schemas.lead_edits import parked
from services.admin.schemas.leads import AuditEntry

# Leads of one address that a page lists, and ids that one form sends: a form may have 1,000 fields.
LISTED_MAX: Final = 500


class KafkaKeeps(BaseModel):
    """A topic that may still hold the lead's record. Kafka deletes by age only, and nobody can search it."""

    topic: str
    until: datetime


class PersonQueueRow(BaseModel):
    """A row of the replay queue with the record that it carries, decoded where that is possible."""

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
    """Everything that we hold of a lead. `lead` has `original`, the fields as they first came, if edited."""

    exported_at: datetime
    lead: dict[str, Any] | None
    emails: list[dict[str, Any]]
    queue: list[PersonQueueRow]
    audit: list[AuditEntry]
    other_leads: list[UUID] = Field(description="Other leads of the same address: export each.")
    kafka: list[KafkaKeeps]


class Erased(BaseModel):
    """What erasing a lead did. `already`: it was erased before, at `erased_at`."""

    lead_id: UUID
    already: bool
    erased_at: datetime
    was_stored: bool
    mails_emptied: int
    queue_rows_emptied: int
    kafka: list[KafkaKeeps]
    message: str


class ErasePerson(BaseModel):
    """Whose leads to erase. In the body, so that no address stands in a URL."""

    email: EmailStr


class ErasedPerson(BaseModel):
    """The leads of one address, each with what was done; `failed` names what was not erased, and why."""

    erased: list[Erased]
    records: list[UUID] = Field(
        description="Queue rows with a record of this address that belong to no lead, or to another's id."
    )
    failed: dict[UUID, str]
    message: str


class PersonLead(BaseModel):
    """One lead of a person, as somebody recognises it. `status` is null if the lead is not stored yet.

    `email` is the current address: another one where an admin has corrected it. `name` and `email` of a lead
    that is not stored are those of its record, if that can be read.
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
    """What erasing a person would erase. `leads`: those of the address, not erased yet, newest first."""

    leads: list[PersonLead] = Field(default_factory=list)
    records: list[UUID] = Field(
        default_factory=list,
        description="Queue rows of this address that belong to no lead, or to another's id.",
    )


@dataclass(frozen=True)
class Traces:
    """What holds one address: leads, and rows of the queue that are named by their origin."""

    leads: frozenset[UUID] = frozenset()
    records: frozenset[UUID] = frozenset()

    def __or__(self, other: "Traces") -> "Traces":
        """Return both."""
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


def with_record(lead: PersonLead, row: Mapping[str, Any], email: str) -> PersonLead:
    """Return a lead that is not stored with the name and address of its record.

    A record that cannot be decoded has no name, and perhaps several addresses: the one that was searched for
    counts.
    """
    if read := parked(row):
        return lead.model_copy(update={"name": read.name, "email": read.email})
    addresses = row["addresses"]
    found = email if email.lower() in addresses else next(iter(addresses), lead.email)
    return lead.model_copy(update={"email": found})


def has_address(lead: PersonLead, email: str) -> bool:
    """Return False if the lead's current address is another one: somebody corrected it."""
    return lead.email is None or lead.email.lower() == email.lower()


def addresses_of(
    lead: Mapping[str, Any] | None, emails: Sequence[Mapping[str, Any]], queue: Sequence[Mapping[str, Any]]
) -> set[str]:
    """Return a lead's addresses in lower case: stored, as they first came, mailed to, or in its records."""
    found = {lead["email"], (lead["original"] or {}).get("email")} if lead else set()
    found |= {mail["recipient"] for mail in emails if mail["kind"] == "welcome"}
    found |= {address for row in queue if not row["by_origin"] for address in row["addresses"]}
    return {address.lower() for address in found if address}


def own_rows(
    lead: Mapping[str, Any] | None, queue: Sequence[Mapping[str, Any]], theirs: set[str]
) -> list[Mapping[str, Any]]:
    """Return a lead's rows without those that hold another person's record, by the rule of erase_lead."""
    unknown = not theirs and (lead is None or lead["status"] != "erased")
    return [
        row
        for row in queue
        if not row["by_origin"] or unknown or not row["addresses"] or theirs & set(row["addresses"])
    ]


def erased_words(leads: int, records: int) -> str:
    """Say how much was erased."""
    said = f"The personal data of {leads} {'lead' if leads == 1 else 'leads'}"
    if records:
        said += f" and {records} {'record' if records == 1 else 'records'} in the queue"
    return f"{said} of this address {'was' if leads + records == 1 else 'were'} deleted."


def kafka_keeps(at: datetime) -> list[KafkaKeeps]:
    """Say what Kafka may still hold of what was written up to this moment, and until when."""
    return [
        KafkaKeeps(topic=topic.name, until=at + timedelta(milliseconds=topic.retention_ms))
        for topic in topics.ALL
        if topic is not topics.AUDIT
    ]


def shown(row: Mapping[str, Any]) -> PersonQueueRow:
    """Return a row with its records, decoded where that is possible."""
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
    """Return a record as the lead that it is, else its bytes."""
    if payload is None:
        return None
    try:
        return LeadReceived.model_validate_json(payload).model_dump(mode="json")
    except ValueError:
        return {"base64": b64encode(payload).decode()}
