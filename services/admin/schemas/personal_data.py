"""Responses about a person's data: an export, and the result of an erasure."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field, JsonValue

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
