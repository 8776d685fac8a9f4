"""Responses about leads, their emails, the replay queue and the audit log."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from contracts.leads import LeadStatus


class LeadSummary(BaseModel):
    """A lead in a list."""

    id: UUID
    request_id: str
    site: str
    email: str | None
    name: str | None
    phone: str | None
    company: str | None
    service: str
    status: LeadStatus
    assignee: str | None
    created_at_utc: datetime
    updated_at: datetime


class Lead(LeadSummary):
    """A lead with all its fields. `created_at_utc` is the time in the gateway's 201 response."""

    message: str
    consent: bool | None
    consent_text: str | None
    consent_version: str | None
    locale: str | None
    submitted_at: datetime | None
    source: dict[str, JsonValue] | None
    extra: dict[str, JsonValue]
    spam_reasons: list[str]
    notes: str | None
    stored_at: datetime


class LeadPage(BaseModel):
    """A page of leads, by default newest first. `total` counts the matches. A large total is an estimate."""

    leads: list[LeadSummary]
    total: int
    total_is_estimate: bool
    limit: int
    offset: int
    next_cursor: str | None


class Email(BaseModel):
    """An email about a lead. Its `kind` is `welcome` or `admin_alert`."""

    kind: str
    state: str
    attempts: int
    recipient: str | None
    message_id: str
    reason: str | None
    smtp_answer: str | None
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None
    digest_at: datetime | None = Field(
        default=None,
        description="When the digest that lists the lead is sent, about. Only while it is still to be sent.",
    )


class QueueItem(BaseModel):
    """One failed delivery: a row of the replay queue."""

    id: UUID
    stage: str
    kind: str
    lead_id: UUID | None
    lead_name: str | None = Field(
        default=None, description="The lead's name, also that of a lead that is not stored yet."
    )
    state: str
    final: bool
    reason: str
    error: str
    attempts: int
    next_attempt_at: datetime | None
    requested_at: datetime | None
    requested_by: str | None
    last_sent_at: datetime | None
    origin_topic: str
    origin_partition: int
    origin_offset: int
    made_by: str
    first_failed_at: datetime
    last_failed_at: datetime


class QueuePage(BaseModel):
    """A page of the replay queue, the most recent failure first."""

    items: list[QueueItem]
    limit: int
    next_cursor: str | None


class AuditEntry(BaseModel):
    """One entry of the audit log."""

    id: int
    event: str
    actor: str
    status_code: int | None
    details_json: dict[str, JsonValue]
    lead_id: UUID | None
    request_id: str | None
    created_at_utc: datetime


class AuditPage(BaseModel):
    """A page of the audit log, newest first."""

    entries: list[AuditEntry]
    limit: int
    next_cursor: str | None
    archived_until: datetime | None = Field(
        default=None,
        description="On the last page: entries until this time were archived, and are missing here.",
    )


Tone = Literal["good", "bad", "wait", "neutral"]


class TimelineEvent(BaseModel):
    """One event of a lead. `planned` marks an event that has not happened yet."""

    at: datetime
    since_previous_ms: int
    event: str
    title: str = Field(description="A sentence for a person.")
    actor: str | None
    tone: Tone
    planned: bool
    details: dict[str, JsonValue]


class LeadNote(BaseModel):
    """A note on a lead. `updated_at` is later than `created_at` if the note was edited."""

    id: UUID
    author: str
    text: str
    created_at: datetime
    updated_at: datetime


class LeadDetail(BaseModel):
    """One lead with its history. `lead` is null if the lead was accepted but is not stored yet."""

    lead: Lead | None
    notes: list[LeadNote] = Field(description="Newest first. The field `notes` of `lead` is not among them.")
    emails: list[Email]
    queue: list[QueueItem]
    timeline: list[TimelineEvent] = Field(description="All events in order, planned ones last.")
    audit: list[AuditEntry] = Field(description="The audit log of this lead, oldest first.")
    audit_archived_until: datetime | None = Field(
        default=None,
        description="Entries until this time may have been archived, and are missing here then.",
    )


class StatusChanged(BaseModel):
    """The lead after a change of status, its previous status, and the kinds of the requested emails."""

    lead: Lead
    previous_status: LeadStatus
    previous_updated_at: datetime
    changed: bool
    mails_requested: list[str]
    message: str


class Resent(BaseModel):
    """The response to a request to resend an email. The notifier sends it within seconds."""

    lead_id: UUID
    kind: str
    queue_id: UUID
    message: str


class Flushed(BaseModel):
    """The number of rows that are due now, and the websites whose queues are imported."""

    requested: int
    sites: list[str] = Field(
        description="Websites whose own queue is imported now, as the last run knows them."
    )
    message: str


def flushed(rows: int, sites: list[str]) -> Flushed:
    """Return the response of a flush that makes `rows` rows due and imports the queues of `sites`."""
    message = f"{rows} waiting {'row is' if rows == 1 else 'rows are'} due now."
    if sites:
        message += f" The websites' own queues are imported now: {', '.join(sites)}."
    return Flushed(requested=rows, sites=sites, message=message)


class Cleared(BaseModel):
    """The number of archived rows: `archived` in total, and `stages` by stage."""

    archived: int
    stages: dict[str, int]
    message: str


class Resumed(BaseModel):
    """The result of a request to resume a stage: its state before (`was_paused`) and now (`paused`)."""

    stage: str
    was_paused: bool
    paused: bool
    message: str
