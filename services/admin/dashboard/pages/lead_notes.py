"""Notes on a lead: a form on the lead's page to add a note, and a page to edit or delete a note."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, ValidationError

from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.auth.session import Session
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, trigger_refresh
from services.admin.rules.errors import ConflictError
from services.admin.rules.note_rules import check_change
from services.admin.schemas.notes import NoteEdit, NoteText
from services.admin.texts import gettext

router = APIRouter(prefix="/admin/ui/leads/{lead_id}/notes", route_class=PageRoute)
Text = Annotated[str, Form()]
TEXT_MAX: Final = 10_000


@router.post("")
async def add_note(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters, text: Text = ""
) -> Response:
    """Add a note.

    With htmx, the response is the form again: empty, or with the rejected text and an error.
    """
    error = ""
    try:
        # Browsers submit CRLF line ends.
        note = NoteText(text=text.replace("\r\n", "\n"))
        await adapters.notes.add(lead_id, note.text, session.actor)
    except ValidationError as invalid:
        if not is_htmx(request):
            raise RequestValidationError(invalid.errors()) from invalid
        error = _text_error()
    if not is_htmx(request):
        return redirect(request, f"/admin/ui/leads/{lead_id}")
    response = render(
        request,
        session,
        "leads/note_saved.html",
        422 if error else 200,
        lead_id=lead_id,
        note_text=text if error else "",
        note_error=error,
    )
    return response if error else trigger_refresh(response)


@router.get("/{note_id}")
async def show_note(
    request: Request, lead_id: UUID, note_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Show a page to edit or delete a note. Raises `ForbiddenError` for another author's note."""
    return await _render_note(request, lead_id, note_id, session, adapters)


@router.post("/{note_id}")
async def edit_note(
    request: Request,
    lead_id: UUID,
    note_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    expected_updated_at: Annotated[AwareDatetime, Form()],
    text: Text = "",
) -> Response:
    """Save a note and return to its lead.

    If the text is invalid, or another admin has changed the note, show the form again.
    """
    try:
        edit = NoteEdit(text=text.replace("\r\n", "\n"), expected_updated_at=expected_updated_at)
        await adapters.notes.edit(lead_id, note_id, edit, session.actor)
    except (ValidationError, ConflictError) as error:
        return await _render_note(request, lead_id, note_id, session, adapters, error=error, text=text)
    return redirect(request, f"/admin/ui/leads/{lead_id}")


@router.post("/{note_id}/delete")
async def delete_note(
    request: Request, lead_id: UUID, note_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Delete a note permanently, and return to its lead."""
    await adapters.notes.delete(lead_id, note_id, session.actor)
    return redirect(request, f"/admin/ui/leads/{lead_id}")


def _text_error() -> str:
    return gettext("Write a note of at most %(count)s characters.", count=TEXT_MAX)


async def _render_note(
    request: Request,
    lead_id: UUID,
    note_id: UUID,
    session: Session,
    adapters: Adapters,
    error: ValidationError | ConflictError | None = None,
    text: str | None = None,
) -> Response:
    """Render the page of a note.

    The form has the stored text, or the `text` that could not be saved and the `error`.
    """
    note = await adapters.notes.get_note(lead_id, note_id)
    check_change(note.author, session.actor)
    is_changed = isinstance(error, ConflictError)
    message = _text_error() if error else ""
    return render(
        request,
        session,
        "leads/note.html",
        409 if is_changed else 422 if error else 200,
        lead_id=lead_id,
        note=note,
        text=note.text if text is None else text,
        is_changed=is_changed,
        error=str(error) if is_changed else message,
    )
