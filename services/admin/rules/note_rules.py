"""Who may write, change and delete notes on a lead. No I/O."""

from datetime import datetime
from typing import Final

from contracts.audit import DEFAULT_ACTOR
from contracts.leads import LeadStatus
from services.admin.rules.errors import ConflictError, ForbiddenError

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
        raise ConflictError("The lead is erased and cannot have notes.")
    if count >= NOTES_MAX:
        raise ConflictError(f"The lead has {NOTES_MAX} notes. Edit or delete one of them.")


def check_change(author: str, actor: str) -> None:
    """Raise `ForbiddenError` if the actor may not change a note of this author."""
    if not may_change(author, actor):
        raise ForbiddenError(f"Only {author} or {DEFAULT_ACTOR} can change this note.")


def check_unchanged(updated_at: datetime, expected: datetime | None) -> None:
    """Raise `ConflictError` if the note was changed since the actor loaded it."""
    if expected not in (None, updated_at):
        raise ConflictError("Somebody changed this note while you were editing. Review the changes.")
