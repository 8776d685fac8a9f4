"""What an admin may change of a lead, by the rules that the site's own submission has. No I/O, no clock."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, EmailStr, Field, ValidationError, model_validator

from contracts.leads import LeadReceived, LeadStatus, Line, Message, Note, RequiredLine
from services.admin.rules.lead_rules import Refused
from services.admin.schemas.leads import Lead

# What the visitor typed; the first values of these are kept.
VISITORS: Final = ("name", "email", "phone", "company", "service", "message")
OURS: Final = ("assignee", "notes")
_REQUIRED: Final = ("name", "email", "service", "message")


class LeadEdit(BaseModel):
    """The fields to change; what is left out stays, null or an empty text clears where that may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: RequiredLine | None = None
    email: EmailStr | None = None
    phone: Line | None = None
    company: Line | None = None
    service: RequiredLine | None = None
    message: Message | None = None
    assignee: Line | None = None
    notes: Note | None = None
    expected_updated_at: Annotated[
        AwareDatetime | None,
        Field(description="The `updated_at` that you saw: refuse with 409 where somebody was faster."),
    ] = None

    @model_validator(mode="after")
    def _keep_required(self) -> Self:
        for name in _REQUIRED:
            if name in self.model_fields_set and getattr(self, name) is None:
                msg = f"{name} must not be null"
                raise ValueError(msg)
        return self

    def given(self) -> dict[str, str | None]:
        """Return the fields that were given."""
        return {
            name: getattr(self, name) or None for name in (*VISITORS, *OURS) if name in self.model_fields_set
        }


class Parked(BaseModel):
    """A lead that waits to be stored: what the visitor typed, as its record in the queue has it."""

    id: UUID
    name: str
    email: str
    phone: str | None
    company: str | None
    service: str
    message: str
    updated_at: datetime


class Edited(BaseModel):
    """What an edit did. `lead` is null where the lead is not stored yet: its parked record was edited."""

    lead: Lead | None
    changed: list[str]
    queue_ids: list[UUID] = Field(description="Rows of the replay queue that carry the new fields now.")
    updated_at: datetime
    message: str


def judge_edit(status: LeadStatus, updated_at: datetime, edit: LeadEdit) -> None:
    """Raise `Refused` where this lead cannot be edited, or not by this admin's view of it."""
    if status is LeadStatus.ERASED:
        raise Refused("The lead is erased, and that is final.")
    expect(updated_at, edit)


def expect(updated_at: datetime, edit: LeadEdit) -> None:
    """Raise `Refused` where somebody changed the lead since this admin looked at it."""
    if edit.expected_updated_at is not None and edit.expected_updated_at != updated_at:
        raise Refused("Somebody changed the lead before you. Look at it again, then decide.")


def changes(now: Mapping[str, Any], edit: LeadEdit) -> dict[str, str | None]:
    """Return the fields that would be different."""
    return {name: value for name, value in edit.given().items() if now[name] != value}


def original_of(lead: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the visitor's fields as they stand, where one of them changes."""
    if not any(name in VISITORS for name in changed):
        return None
    return {name: lead[name] for name in VISITORS}


def parked_lead(payload: bytes | None) -> dict[str, Any]:
    """Read the lead in a parked record, with what we do not know of it. Raises `Refused`."""
    if payload is None:
        raise Refused("The record of this lead is not kept any more: there is nothing to edit.")
    try:
        LeadReceived.model_validate_json(payload)
        found: dict[str, Any] = json.loads(payload)
    except ValidationError:
        raise Refused("The record of this lead cannot be decoded, so its fields cannot be edited.") from None
    return dict.fromkeys(VISITORS) | found


def parked(row: Mapping[str, Any]) -> Parked | None:
    """Read the lead in a row of the queue; None where there is none, or none that can be read."""
    try:
        lead = parked_lead(row["payload"])
    except Refused:
        return None
    fields = {name: lead[name] for name in VISITORS}
    return Parked(id=row["lead_id"], updated_at=row["updated_at"], **fields)


def rewritten(lead: Mapping[str, Any], changed: Mapping[str, Any]) -> bytes:
    """Write a parked lead anew with its changed fields; ids and hash stay."""
    if set(OURS) & set(changed):
        raise Refused("Assignee and notes can be set once the lead is stored.")
    return json.dumps({**lead, **changed}, ensure_ascii=False, separators=(",", ":")).encode()
