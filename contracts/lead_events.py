"""The events that destinations receive: what happened to a lead, with the lead's fields.

`LeadChanged` is the value of `leads.changed.v1`. It has no personal data: the service `webhooks` reads the
lead from the database when it makes the deliveries.

The body of an event is `{"type": …, "timestamp": …, "data": …}`, as Standard Webhooks 1.0 recommends. A field
may be added to an event type without notice. To rename or remove a field, a new event type is needed.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from contracts.leads import LeadReceived, LeadStatus, lead_reference
from contracts.times import Timestamp
from contracts.visit import Source

EventType = Literal[
    "lead.received", "lead.updated", "lead.status_changed", "lead.alert_failed", "lead.erased"
]
"""The events that a destination may list. Each destination also gets `lead.erased` for its leads."""
RECEIVED: Final[EventType] = "lead.received"
UPDATED: Final[EventType] = "lead.updated"
STATUS_CHANGED: Final[EventType] = "lead.status_changed"
ALERT_FAILED: Final[EventType] = "lead.alert_failed"
ERASED: Final[EventType] = "lead.erased"
ALERT_LEADS_MAX: Final = 500
"""The most leads in one event `lead.alert_failed`. Further leads are in the next event."""
UNSENT: Final = frozenset({LeadStatus.SPAM, LeadStatus.HELD})
"""The statuses of leads that no destination hears of."""


class LeadChanged(BaseModel):
    """A change by an admin or a job: the value of a record on `leads.changed.v1`.

    `event_id` becomes the header `webhook-id`. It stays the same if the record is published again. For the
    type `lead.updated`, `changed` has the names of the changed fields. For the type `lead.status_changed`,
    `from_status` and `to_status` are set.

    The type `lead.alert_failed` reports the leads in `lead_ids`, the first of which is `lead_id`: nobody
    received their team notifications. `reason` is why most of them failed, and `since` is the first failure.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    event_id: UUID
    occurred_at: Timestamp
    type: Literal["lead.updated", "lead.status_changed", "lead.alert_failed"]
    lead_id: UUID
    site: str = Field(max_length=100)
    changed: tuple[str, ...] = ()
    from_status: LeadStatus | None = None
    to_status: LeadStatus | None = None
    lead_ids: tuple[UUID, ...] = Field(default=(), max_length=ALERT_LEADS_MAX)
    reason: str | None = None
    since: Timestamp | None = None

    @model_validator(mode="after")
    def _check_statuses(self) -> Self:
        if self.type == STATUS_CHANGED and (self.from_status is None or self.to_status is None):
            raise ValueError("lead.status_changed needs from_status and to_status")
        if self.type == ALERT_FAILED and (not self.lead_ids or self.since is None):
            raise ValueError("lead.alert_failed needs lead_ids and since")
        return self

    @property
    def is_release(self) -> bool:
        """Return True if the lead was `spam` or `held`, and the change gave it another status."""
        return self.from_status in UNSENT and self.to_status not in UNSENT


class LeadData(BaseModel):
    """A lead as destinations receive it. `reference` is the short id that the emails show."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    reference: str
    site: str
    site_name: str
    received_at: datetime
    status: LeadStatus
    assignee: str | None
    name: str | None
    email: str | None
    phone: str | None
    company: str | None
    service: str
    message: str
    consent: bool | None
    consent_text: str | None
    consent_version: str | None
    locale: str | None
    source: Source | None
    extra: dict[str, JsonValue]

    @classmethod
    def of(cls, lead: LeadReceived, site_name: str) -> Self:
        """Return the data of an accepted lead. `site_name` is the display name of the lead's site."""
        return cls(
            id=lead.lead_id,
            reference=lead_reference(lead.lead_id),
            site=lead.site,
            site_name=site_name,
            received_at=lead.occurred_at,
            status=lead.first_status,
            assignee=None,
            **{name: getattr(lead, name) for name in _SAME},
        )

    @classmethod
    def stored(cls, row: Mapping[str, Any], site_name: str, **more: Any) -> Self:
        """Return the data of a stored lead. `row` is its row of `lead_inbox`.

        `more` has the values of the fields that a subclass adds.
        """
        return cls.model_validate(
            {
                **{name: row[name] for name in (*_SAME, "id", "site", "status", "assignee")},
                "reference": lead_reference(row["id"]),
                "site_name": site_name,
                "received_at": row["created_at_utc"],
                "name": row["name"] or None,
                "email": row["email"] or None,
                **more,
            }
        )


class UpdatedData(LeadData):
    """The data of `lead.updated`: the lead as it is now, and the names of the fields that changed."""

    changed: tuple[str, ...]


class StatusChangedData(LeadData):
    """The data of `lead.status_changed`: the lead as it is now, and its status before and after."""

    from_status: LeadStatus
    to_status: LeadStatus


class FailedLead(BaseModel):
    """A lead in `lead.alert_failed`."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    reference: str


class AlertFailedData(BaseModel):
    """The data of `lead.alert_failed`: the leads of one site whose team notification nobody received.

    The data has no personal data. `reason` is what most of the mail servers said, or null if the
    notifications were not sent at all. `since` is the time of the first failure.
    """

    model_config = ConfigDict(frozen=True)

    site: str
    site_name: str
    count: int
    leads: tuple[FailedLead, ...]
    reason: str | None
    since: datetime


_SAME: Final = (
    "name", "email", "phone", "company", "service", "message", "consent", "consent_text", "consent_version",
    "locale", "source", "extra",
)  # fmt: skip


class LeadEvent(BaseModel):
    """The body of one event."""

    model_config = ConfigDict(frozen=True)

    type: Literal["lead.received", "lead.updated", "lead.status_changed", "lead.alert_failed", "lead.test"]
    timestamp: datetime
    data: UpdatedData | StatusChangedData | LeadData | AlertFailedData

    @classmethod
    def received(cls, lead: LeadReceived, site_name: str) -> Self:
        """Return the event `lead.received` for an accepted lead."""
        return cls(type="lead.received", timestamp=lead.occurred_at, data=LeadData.of(lead, site_name))

    @classmethod
    def released(cls, row: Mapping[str, Any], site_name: str) -> Self:
        """Return the event `lead.received` of a stored lead, for a destination that has not received it yet.

        `row` is the lead's current row of `lead_inbox`.
        """
        return cls(
            type="lead.received", timestamp=row["created_at_utc"], data=LeadData.stored(row, site_name)
        )

    @classmethod
    def changed(cls, change: LeadChanged, row: Mapping[str, Any], site_name: str) -> Self:
        """Return the event that reports this change. `row` is the lead's row of `lead_inbox` as it is now."""
        data: LeadData
        if change.type == UPDATED:
            data = UpdatedData.stored(row, site_name, changed=change.changed)
        else:
            data = StatusChangedData.stored(
                row, site_name, from_status=change.from_status, to_status=change.to_status
            )
        return cls(type=change.type, timestamp=change.occurred_at, data=data)


def alert_failed_event(change: LeadChanged, site_name: str) -> LeadEvent:
    """Return the event that reports failed team notifications. `change` has the type `lead.alert_failed`."""
    data = AlertFailedData(
        site=change.site,
        site_name=site_name,
        count=len(change.lead_ids),
        leads=tuple(FailedLead(id=each, reference=lead_reference(each)) for each in change.lead_ids),
        reason=change.reason,
        since=change.since or change.occurred_at,
    )
    return LeadEvent(type="lead.alert_failed", timestamp=change.occurred_at, data=data)


def example_event(lead_id: UUID, now: datetime) -> LeadEvent:
    """Return an event with example values, which tests a destination.

    `lead_id` must be a new id, so that the example cannot be confused with a real lead.
    """
    data = LeadData(
        id=lead_id,
        reference=lead_reference(lead_id),
        site="test",
        site_name="Test",
        received_at=now,
        status=LeadStatus.RECEIVED,
        assignee=None,
        name="Ada Lovelace",
        email="ada@example.com",
        phone="+44 20 7946 0000",
        company="Analytical Engines Ltd",
        service="Test",
        message="This is a test of FASTCore. No visitor sent it.",
        consent=None,
        consent_text=None,
        consent_version=None,
        locale="en",
        source=None,
        extra={},
    )
    return LeadEvent(type="lead.test", timestamp=now, data=data)


def event_id_for(lead_id: UUID, event_type: EventType) -> UUID:
    """Return the id of an event that happens at most once to a lead.

    The id is derived from the arguments, so a redelivered record leads to the same id.
    """
    return uuid5(lead_id, f"webhook {event_type}")
