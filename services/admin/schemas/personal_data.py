"""Responses about a person's data: an export, and the result of an erasure."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field, JsonValue, model_validator

from contracts.phone_numbers import phone_ending
from services.admin.schemas.destinations import LeadDelivery
from services.admin.schemas.leads import AuditEntry, LeadNote
from services.admin.texts import gettext_noop

# Leads of one address that a page lists, and ids that one form sends: a form may have 1,000 fields.
LISTED_MAX: Final = 500


class KafkaKeeps(BaseModel):
    """A topic that may contain a record of the lead until the time `until`.

    Kafka deletes records only by age.
    """

    topic: str
    until: datetime


class PersonQueueRow(BaseModel):
    """A row of the replay queue, with the failed record (`payload`).

    `original_payload` is the record as it was before an admin edited it. Records are decoded if possible.
    """

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
    """Everything that is stored about a lead. `lead.original` has the fields before the first edit."""

    exported_at: datetime
    lead: dict[str, Any] | None
    notes: list[LeadNote] = Field(description="Newest first.")
    emails: list[dict[str, Any]]
    queue: list[PersonQueueRow]
    deliveries: list[LeadDelivery] = Field(
        description="The destinations that received events of this lead, or will."
    )
    audit: list[AuditEntry]
    audit_archived_until: datetime | None = Field(
        default=None,
        description="Entries until this time may have been archived, and are missing here then.",
    )
    other_leads: list[UUID] = Field(description="Other leads of the same address: export each one too.")
    kafka: list[KafkaKeeps]


class Erased(BaseModel):
    """The result of erasing a lead. `already` is True if an earlier request had erased the lead.

    `erased_at` is the time of the erasure.
    """

    lead_id: UUID
    already: bool
    erased_at: datetime
    was_stored: bool
    mails_emptied: int
    queue_rows_emptied: int
    kafka: list[KafkaKeeps]
    message: str


class ErasePerson(BaseModel):
    """The person's email address, phone number or both. Sent in the body, so that no URL contains them."""

    email: EmailStr | None = None
    phone: str | None = Field(
        default=None,
        max_length=255,
        description="Selects stored leads whose phone ends with the same nine digits; seven at least.",
    )

    @model_validator(mode="after")
    def _select_somebody(self) -> "ErasePerson":
        if self.phone is not None and not phone_ending(self.phone):
            msg = gettext_noop("phone needs at least seven digits")
            raise ValueError(msg)
        if not self.email and not self.phone:
            msg = gettext_noop("an email or a phone is needed")
            raise ValueError(msg)
        return self


class ErasedPerson(BaseModel):
    """The result of erasing a person.

    `failed` has the ids of the leads and queue rows that could not be erased, each with the reason.
    """

    erased: list[Erased]
    records: list[UUID] = Field(
        description="Erased queue rows with this address that have no lead id, or that of another person."
    )
    failed: dict[UUID, str]
    message: str


class PersonLead(BaseModel):
    """One lead of a person. `status` is null if the lead is not stored yet.

    `email` is the lead's current address. After an edit, it can differ from the address that was searched
    for. For a lead that is not stored yet, `name` and `email` come from its queued record, if the record can
    be decoded.
    """

    lead_id: UUID
    created_at_utc: datetime
    name: str | None
    email: str | None
    phone: str | None
    site: str | None
    service: str | None
    status: str | None
    emails: int
    queue_rows: int


class PersonRecords(BaseModel):
    """The leads and queue rows that an erasure of a person would erase.

    `leads` is sorted newest first. It contains no lead that is already erased.
    """

    leads: list[PersonLead] = Field(default_factory=list)
    records: list[UUID] = Field(
        default_factory=list,
        description="Queue rows with this address that have no lead id, or that of another person.",
    )
