"""What admins see of a person's data: all that we hold, and what erasing did. No I/O, no clock."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field, JsonValue

from contracts import topics
from services.admin.answers import AuditEntry


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
    """The leads of one address, each with what was done; `failed` names those that were not, and why."""

    erased: list[Erased]
    failed: dict[UUID, str]
    message: str


def kafka_keeps(at: datetime) -> list[KafkaKeeps]:
    """Say what Kafka may still hold of what was written up to this moment, and until when."""
    return [
        KafkaKeeps(topic=topic.name, until=at + timedelta(milliseconds=topic.retention_ms))
        for topic in topics.ALL
        if topic is not topics.AUDIT
    ]
