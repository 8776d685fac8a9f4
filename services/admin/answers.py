"""What the admin API answers, as typed models: the OpenAPI document is made from these. No logic."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from contracts.leads import LeadStatus
from services.admin.ledger import Books

State = Literal["up", "down", "unknown"]


class LeadSummary(BaseModel):
    """A lead in a list."""

    id: UUID
    request_id: str
    site: str
    email: str
    name: str
    phone: str | None
    company: str | None
    service: str
    status: LeadStatus
    assignee: str | None
    created_at_utc: datetime


class Lead(LeadSummary):
    """A lead with all that we hold of it. `created_at_utc` is the time in the 201."""

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
    updated_at: datetime


class LeadPage(BaseModel):
    """A page of leads, newest first. `total` counts all that match, and is exact up to 10,000."""

    leads: list[LeadSummary]
    total: int
    total_is_estimate: bool
    limit: int
    offset: int
    next_cursor: str | None


class Email(BaseModel):
    """One mail of one kind to one lead."""

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


class QueueItem(BaseModel):
    """One failure that waits, is being replayed, or came to an end."""

    id: UUID
    stage: str
    kind: str
    lead_id: UUID | None
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
    """A page of the replay queue, the last failure first."""

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


class LeadDetail(BaseModel):
    """One lead's whole way. `lead` is null where it was accepted but its storing is still in the queue."""

    lead: Lead | None
    emails: list[Email]
    queue: list[QueueItem]
    timeline: list[AuditEntry] = Field(description="The audit log of this lead, oldest first.")


class StatusChanged(BaseModel):
    """The lead, and what the change did."""

    lead: Lead
    previous_status: LeadStatus
    changed: bool
    mails_requested: list[str]
    message: str


class Resent(BaseModel):
    """The mail will be tried again by the notifier, within seconds."""

    lead_id: UUID
    kind: str
    queue_id: UUID
    message: str


class StageQueue(BaseModel):
    """The replay queue of one stage. `due` would be sent by the next run of the job."""

    stage: str
    waiting: int
    replaying: int
    due: int
    dead: int
    resolved: int
    archived: int
    oldest_open_at: datetime | None
    oldest_open_age_seconds: float | None
    paused: bool
    pause_reason: str | None


class GroupLag(BaseModel):
    """Records between a group's committed offsets and the ends. Null where it is not known."""

    group: str
    lag: int | None
    topics: dict[str, int] | None
    reason: str | None = Field(default=None, description="Why it is not known.")


class GatewaySpool(BaseModel):
    """What one gateway says of itself. Null where it did not answer: unknown is not empty."""

    url: str
    address: str | None
    state: State
    status: dict[str, JsonValue] | None
    reason: str | None = None


class QueueStats(BaseModel):
    """Stages and books are of one database snapshot; lag and gateways are readings of a moment later."""

    at: datetime | None = Field(description="The time of the snapshot; null where the database is away.")
    stages: list[StageQueue] | None
    books: Books | None
    read_at: datetime = Field(description="The time of the readings below.")
    groups: list[GroupLag]
    failed_not_taken: int | None = Field(
        description="Failures on their way to the replay queue: the flusher's lag on the failed topic."
    )
    gateways: list[GatewaySpool]


class Flushed(BaseModel):
    """How many rows are due now."""

    requested: int
    message: str


class Cleared(BaseModel):
    """How many rows were archived, by stage."""

    archived: int
    stages: dict[str, int]
    message: str


class Job(BaseModel):
    """A scheduled job and its last run. `overdue` says that it should have run a minute ago."""

    name: str
    schedule: str
    runs: int
    last_started_at: datetime | None
    last_finished_at: datetime | None
    last_outcome: str | None
    last_duration_ms: int | None
    last_details: dict[str, Any]
    next_run_at: datetime | None
    overdue: bool


class Jobs(BaseModel):
    """All scheduled jobs."""

    jobs: list[Job]


class PartHealth(BaseModel):
    """One thing that FASTCore needs."""

    state: State
    reason: str | None = None
    parts: dict[str, JsonValue] | None = None


class SystemHealth(BaseModel):
    """The state of the whole. `status` is down where one part is."""

    status: Literal["up", "down"]
    at: datetime
    database: PartHealth
    broker: PartHealth
    mail: PartHealth
    services: dict[str, PartHealth]


class Resumed(BaseModel):
    """The breaker of a stage after the request."""

    stage: str
    was_paused: bool
    paused: bool
    message: str
