"""The body and the response of an edit of a lead. The fields have the same rules as in a submission."""

from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, EmailStr, Field, model_validator

from contracts.field_types import Line, Message, Note
from services.admin.schemas.leads import Lead

# The visitor typed these fields. The first edit keeps their original values.
VISITOR_FIELDS: Final = ("name", "email", "phone", "company", "service", "message")
ADMIN_FIELDS: Final = ("assignee", "notes")
_NEVER_NULL: Final = ("service", "message")


def blank_as_none(value: object) -> object:
    """Return None for a blank text, which a form sends for an empty field. Other texts are stripped."""
    return (value.strip() or None) if isinstance(value, str) else value


class LeadEdit(BaseModel):
    """The fields to change. Absent fields stay unchanged. Null or an empty text clears an optional field.

    The email address can be changed but not cleared, because an email to the lead may be in progress.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Line | None = None
    email: Annotated[EmailStr | None, BeforeValidator(blank_as_none)] = None
    phone: Line | None = None
    company: Line | None = None
    service: Line | None = None
    message: Message | None = None
    assignee: Line | None = None
    notes: Note | None = None
    expected_updated_at: Annotated[
        AwareDatetime | None,
        Field(description="The `updated_at` that you saw: refuse with 409 if the lead was changed since."),
    ] = None

    @model_validator(mode="after")
    def _refuse_null(self) -> Self:
        for name in _NEVER_NULL:
            if name in self.model_fields_set and getattr(self, name) is None:
                msg = f"{name} must not be null"
                raise ValueError(msg)
        return self

    def changes(self) -> dict[str, str | None]:
        """Return the fields that the body contains, except `expected_updated_at`."""
        names = (*VISITOR_FIELDS, *ADMIN_FIELDS)
        # A service and a message may be empty, and are never null.
        empty = dict.fromkeys(_NEVER_NULL, "")
        return {
            name: getattr(self, name) or empty.get(name) for name in names if name in self.model_fields_set
        }


class QueuedLead(BaseModel):
    """A lead that is not stored yet. Its fields come from its queued record, as the visitor typed them."""

    id: UUID
    name: str | None
    email: str | None
    phone: str | None
    company: str | None
    service: str | None
    message: str
    updated_at: datetime


class Edited(BaseModel):
    """The result of an edit.

    If the lead is not stored yet, its queued record was edited, and `lead` is null.
    """

    lead: Lead | None
    changed: list[str]
    queue_ids: list[UUID] = Field(description="Rows of the replay queue that carry the new fields now.")
    updated_at: datetime
    message: str
