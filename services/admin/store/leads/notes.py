"""Notes on a lead. Each change is audited without the text, which is personal data.

The methods raise `DependencyUnavailable`, and the errors of `services.admin.rules.errors`.
"""

from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from contracts.audit import AuditEvent
from contracts.leads import LeadStatus
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, load_queries, transaction
from services.admin.rules import note_rules
from services.admin.rules.errors import NotFoundError
from services.admin.schemas.leads import LeadNote
from services.admin.schemas.notes import NoteEdit
from services.admin.store.leads.leads import lock_existing_lead
from services.admin.texts import gettext, gettext_noop

_SQL: Any = load_queries(Path(__file__).with_name("notes.sql"))
NO_SUCH_NOTE: Final = gettext_noop("There is no note with this id on this lead. It may have been deleted.")


class Notes:
    """Reads and writes the rows of the table `lead_note`.

    Every change locks the lead first, so that an erasure cannot miss a note that is written at the same time.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get_note(self, lead_id: UUID, note_id: UUID) -> LeadNote:
        """Return a note. Raises `NotFoundError` if the lead has no such note."""
        async with transaction(self._pool) as connection:
            return await _get_note(connection, lead_id, note_id)

    async def add(self, lead_id: UUID, text: str, actor: str) -> LeadNote:
        """Write a note. Raises `ConflictError` if the lead is erased or has too many notes."""
        async with transaction(self._pool) as connection:
            lead = await lock_existing_lead(connection, lead_id)
            count = await _SQL.count_notes(connection, lead_id=lead_id)
            note_rules.check_new(LeadStatus(lead["status"]), count)
            row = await _SQL.add_note(connection, id=uuid4(), lead_id=lead_id, author=actor, body=text)
            await _audit(connection, AuditEvent.LEAD_NOTE_ADDED, actor, lead, row["id"])
        return LeadNote.model_validate(dict(row))

    async def edit(self, lead_id: UUID, note_id: UUID, edit: NoteEdit, actor: str) -> LeadNote:
        """Change the text of a note. If the text is the same, nothing changes.

        Raises `ForbiddenError` for another author's note, and `ConflictError` if the note was changed since
        the actor loaded it.
        """
        async with transaction(self._pool) as connection:
            lead = await lock_existing_lead(connection, lead_id)
            note = await _get_note(connection, lead_id, note_id)
            note_rules.check_change(note.author, actor)
            note_rules.check_unchanged(note.updated_at, edit.expected_updated_at)
            if edit.text == note.text:
                return note
            row = await _SQL.edit_note(connection, id=note_id, body=edit.text)
            await _audit(connection, AuditEvent.LEAD_NOTE_EDITED, actor, lead, note_id)
        return LeadNote.model_validate(dict(row))

    async def delete(self, lead_id: UUID, note_id: UUID, actor: str) -> None:
        """Delete a note permanently. Raises `ForbiddenError` for another author's note."""
        async with transaction(self._pool) as connection:
            lead = await lock_existing_lead(connection, lead_id)
            note = await _get_note(connection, lead_id, note_id)
            note_rules.check_change(note.author, actor)
            await _SQL.delete_note(connection, id=note_id)
            await _audit(connection, AuditEvent.LEAD_NOTE_DELETED, actor, lead, note_id)


async def list_notes(connection: Connection, lead_id: UUID) -> list[LeadNote]:
    """Return the notes on a lead, newest first."""
    return [LeadNote.model_validate(dict(row)) async for row in _SQL.list_notes(connection, lead_id=lead_id)]


async def _get_note(connection: Connection, lead_id: UUID, note_id: UUID) -> LeadNote:
    row = await _SQL.get_note(connection, id=note_id, lead_id=lead_id)
    if row is None:
        raise NotFoundError(gettext(NO_SUCH_NOTE))
    return LeadNote.model_validate(dict(row))


async def _audit(connection: Connection, event: AuditEvent, actor: str, lead: Any, note_id: UUID) -> None:
    details = {"note_id": str(note_id)}
    await append_action(connection, event, actor, details, lead["id"], lead["request_id"])
