"""The events of the audit log, and the Kafka record of an entry.

An entry contains ids, codes and our own words, never personal data.
"""

from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from contracts.times import ClampedTimestamp

ACTOR_MAX_LENGTH: Final = 200
# The actor of an admin token without a name.
DEFAULT_ACTOR: Final = "admin"


class AuditEvent(StrEnum):
    """The values of `audit_log.event`."""

    LEAD_RECEIVED = "lead.received"
    LEAD_REJECTED = "lead.rejected"
    LEAD_CONFLICT = "lead.conflict"
    LEAD_PARKED = "lead.parked"
    LEAD_DEAD = "lead.dead"
    LEAD_REPLAYED = "lead.replayed"
    LEAD_ARCHIVED = "lead.archived"
    LEAD_STATUS_CHANGED = "lead.status_changed"
    LEAD_EDITED = "lead.edited"
    LEAD_NOTE_ADDED = "lead.note_added"
    LEAD_NOTE_EDITED = "lead.note_edited"
    LEAD_NOTE_DELETED = "lead.note_deleted"
    LEAD_EXPORTED = "lead.exported"
    LEAD_ERASED = "lead.erased"
    BULK_STARTED = "bulk.started"
    BULK_CANCELLED = "bulk.cancelled"
    EMAIL_SENT = "email.sent"
    EMAIL_FAILED = "email.failed"
    EMAIL_UNKNOWN = "email.unknown"
    EMAIL_SUPPRESSED = "email.suppressed"
    EMAIL_BOUNCED = "email.bounced"
    EMAIL_COMPLAINED = "email.complained"
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_REMOVED = "suppression.removed"
    QUEUE_FLUSHED = "queue.flushed"
    QUEUE_CLEARED = "queue.cleared"
    QUEUE_ARCHIVED = "queue.archived"
    QUEUE_REPLAYED = "queue.replayed"
    QUEUE_REPLAY_CANCELLED = "queue.replay_cancelled"
    STAGE_RESUMED = "stage.resumed"
    INCIDENT_ACKNOWLEDGED = "incident.acknowledged"
    INCIDENT_RESOLVED = "incident.resolved"
    VIEW_SAVED = "view.saved"
    VIEW_RENAMED = "view.renamed"
    VIEW_EDITED = "view.edited"
    VIEW_DELETED = "view.deleted"
    DELIVERY_DEAD = "delivery.dead"
    DELIVERY_REQUESTED = "delivery.requested"
    DELIVERY_RESENT = "delivery.resent"
    DESTINATION_DISABLED = "destination.disabled"
    DESTINATION_ENABLED = "destination.enabled"
    DESTINATION_TESTED = "destination.tested"
    DESTINATION_RETRIED = "destination.retried"
    SITE_QUEUE_PULLED = "site_queue.pulled"


class AuditRecorded(BaseModel):
    """One entry of the audit log. `status_code` is an HTTP or SMTP code.

    Inserting an entry again changes nothing, because `event_id` is unique.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    schema_version: Literal[1] = 1
    event_id: UUID
    occurred_at: ClampedTimestamp
    event: AuditEvent
    actor: str = Field(max_length=ACTOR_MAX_LENGTH)
    status_code: int | None = None
    lead_id: UUID | None = None
    request_id: str | None = Field(default=None, max_length=255)
    details: dict[str, JsonValue] = Field(default_factory=dict)


class LeadRejected(AuditRecorded):
    """The entry for a request that the gateway refused.

    Only entries of this type are accepted from the topic `audit.recorded.v1`, because any program that can
    write to the topic could forge entries. All other entries are inserted in the transaction of the change
    that they report.
    """

    event: Literal[AuditEvent.LEAD_REJECTED]
