"""The events that destinations receive: what happened to a lead, with the lead's fields.

The body of an event is `{"type": …, "timestamp": …, "data": …}`, as Standard Webhooks 1.0 recommends. A field
may be added without notice. A field of an event type is never renamed or removed: such a
change needs a new type.
"""

from datetime import datetime
from typing import Final, Literal, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, JsonValue

from contracts.leads import LeadReceived, lead_reference
from contracts.visit import Source

EventType = Literal["lead.received", "lead.erased"]
"""The events that a destination may list. Each also gets `lead.erased` for every lead that it received."""
RECEIVED: Final[EventType] = "lead.received"
ERASED: Final[EventType] = "lead.erased"


class LeadData(BaseModel):
    """A lead as destinations receive it. `reference` is the short id that the emails show."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    reference: str
    site: str
    site_name: str
    received_at: datetime
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
            **{name: getattr(lead, name) for name in _SAME},
        )


_SAME: Final = (
    "name", "email", "phone", "company", "service", "message", "consent", "consent_text", "consent_version",
    "locale", "source", "extra",
)  # fmt: skip


class LeadEvent(BaseModel):
    """The body of one event."""

    model_config = ConfigDict(frozen=True)

    type: Literal["lead.received", "lead.test"]
    timestamp: datetime
    data: LeadData

    @classmethod
    def received(cls, lead: LeadReceived, site_name: str) -> Self:
        """Return the event of an accepted lead."""
        return cls(type="lead.received", timestamp=lead.occurred_at, data=LeadData.of(lead, site_name))


def example_event(lead_id: UUID, now: datetime) -> LeadEvent:
    """Return an event to test a destination with: a lead with example values, under an unused `lead_id`."""
    data = LeadData(
        id=lead_id,
        reference=lead_reference(lead_id),
        site="test",
        site_name="Test",
        received_at=now,
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
