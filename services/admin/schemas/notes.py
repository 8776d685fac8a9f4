"""The bodies and the responses of the routes for notes on a lead."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.field_types import RequiredNote
from services.admin.schemas.leads import LeadNote


class NoteText(BaseModel):
    """The text of a new note."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: RequiredNote


class NoteEdit(NoteText):
    """The new text of a note."""

    expected_updated_at: Annotated[
        AwareDatetime | None,
        Field(description="The `updated_at` that you saw: refuse with 409 if the note was changed since."),
    ] = None


class NoteList(BaseModel):
    """All notes on a lead, newest first."""

    notes: list[LeadNote]
