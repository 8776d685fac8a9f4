"""Who may write, change and delete notes on a lead. No I/O."""

from datetime import datetime
from typing import Final

from contracts.audit import DEFAULT_ACTOR
from contracts.leads import LeadStatus
from services.admin.rules.errors import ConflictError, ForbiddenError
from services.admin.texts import gettext

# A page shows all notes on a lead.
NOTES_MAX: Final = 500


def may_change(author: str, actor: str) -> bool:
    """Return True if the actor may edit and delete a note of this author.

    The actor `admin`, whose token has no name in the settings, may change everybody's notes.
    """
    return actor in (author, DEFAULT_ACTOR)


def check_new(status: LeadStatus, count: int) -> None:
    """Raise `ConflictError` if the lead is erased or already has the maximum number of notes."""
    if status is LeadStatus.ERASED:
        raise ConflictError(gettext("The lead is erased and cannot have notes."))
    if count >= NOTES_MAX:
        raise ConflictError(
            gettext("The lead has %(count)s notes. Edit or delete one of them.", count=NOTES_MAX)
        )


def check_change(author: str, actor: str) -> None:
    """Raise `ForbiddenError` if the actor may not change a note of this author."""
    if not may_change(author, actor):
        raise ForbiddenError(
            gettext("Only %(author)s or %(admin)s can change this note.", author=author, admin=DEFAULT_ACTOR)
        )


def check_unchanged(updated_at: datetime, expected: datetime | None) -> None:
    """Raise `ConflictError` if the note was changed since the actor loaded it."""
    if expected not in (None, updated_at):
        raise ConflictError(gettext("Somebody changed this note while you were editing. Review the changes."))
