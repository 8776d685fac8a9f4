"""Notes on a lead: read, write, edit and delete them."""

from uuid import UUID

from fastapi import APIRouter

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.leads import LeadNote
from services.admin.schemas.notes import NoteEdit, NoteList, NoteText

router = APIRouter(prefix="/leads/{lead_id}/notes", tags=["leads"])


@router.get("", summary="The notes on a lead, newest first", responses=documented(404))
async def list_notes(lead_id: UUID, adapters: CurrentAdapters) -> NoteList:
    """Return all notes on a lead, each with its author and time.

    The lead's own field `notes` is not included.
    """
    return NoteList(notes=(await adapters.leads.get_lead(lead_id)).notes)


@router.post("", status_code=201, summary="Write a note", responses=documented(404, 409))
async def add_note(lead_id: UUID, note: NoteText, adapters: CurrentAdapters, actor: Actor) -> LeadNote:
    """Add a note to a lead. The author is the admin who sends the request.

    The lead must be stored. The note is audited without its text.
    """
    return await adapters.notes.add(lead_id, note.text, actor)


@router.patch("/{note_id}", summary="Edit a note", responses=documented(403, 404, 409))
async def edit_note(
    lead_id: UUID, note_id: UUID, edit: NoteEdit, adapters: CurrentAdapters, actor: Actor
) -> LeadNote:
    """Change the text of a note. Only the author of the note and the actor `admin` may do this.

    The change is audited without the text.
    """
    return await adapters.notes.edit(lead_id, note_id, edit, actor)


@router.delete("/{note_id}", status_code=204, summary="Delete a note", responses=documented(403, 404))
async def delete_note(lead_id: UUID, note_id: UUID, adapters: CurrentAdapters, actor: Actor) -> None:
    """Delete a note permanently. Only the author of the note and the actor `admin` may do this.

    The deletion is audited without the text.
    """
    await adapters.notes.delete(lead_id, note_id, actor)
