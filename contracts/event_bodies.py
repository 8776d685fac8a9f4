"""The JSON bodies that destinations of the kind `webhook` receive: one model for each type of event.

`docs/events/v1.json` is their JSON Schema. A field may be added at any time. Removing or renaming a field
needs a new version of the schema and a new event type, because receivers rely on the fields.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter

from contracts.lead_events import AlertFailedData, LeadData, StatusChangedData, UpdatedData


class ErasedData(BaseModel):
    """The data of `lead.erased`: only the lead's ids. Migration 0026 creates the event in the database."""

    id: UUID
    reference: str
    site: str


class ReceivedEvent(BaseModel):
    """A new lead, or one that was released from spam."""

    type: Literal["lead.received"]
    timestamp: datetime
    data: LeadData


class ExampleEvent(BaseModel):
    """A test of a destination, sent at an admin's request. The lead's data are example values."""

    type: Literal["lead.test"]
    timestamp: datetime
    data: LeadData


class UpdatedEvent(BaseModel):
    """A field of the lead, or its assignee, was changed."""

    type: Literal["lead.updated"]
    timestamp: datetime
    data: UpdatedData


class StatusChangedEvent(BaseModel):
    """The lead's status was changed."""

    type: Literal["lead.status_changed"]
    timestamp: datetime
    data: StatusChangedData


class AlertFailedEvent(BaseModel):
    """Nobody received the team notifications of these leads. It names no person."""

    type: Literal["lead.alert_failed"]
    timestamp: datetime
    data: AlertFailedData


class ErasedEvent(BaseModel):
    """The lead was erased. The receiver must delete its copy of the lead."""

    type: Literal["lead.erased"]
    timestamp: datetime
    data: ErasedData


EVENT_BODY: Final = TypeAdapter[Any](
    Annotated[
        ReceivedEvent | UpdatedEvent | StatusChangedEvent | AlertFailedEvent | ErasedEvent | ExampleEvent,
        Field(discriminator="type"),
    ]
)


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of all events, version 1."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "FASTCore event, version 1",
        "description": "The body of a webhook. Ignore fields that you do not know: more may be added.",
        **EVENT_BODY.json_schema(),
    }
