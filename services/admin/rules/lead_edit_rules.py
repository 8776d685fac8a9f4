"""Which edits of a lead are allowed, and what they change in the lead or in its queued record. No I/O."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.leads import LeadReceived, LeadStatus
from services.admin.rules.errors import ConflictError
from services.admin.schemas.lead_edits import ADMIN_FIELDS, VISITOR_FIELDS, LeadEdit, QueuedLead
from services.admin.texts import gettext


def check_edit(status: LeadStatus, updated_at: datetime, edit: LeadEdit) -> None:
    """Raise `ConflictError` if the lead is erased or was changed since the admin loaded it."""
    if status is LeadStatus.ERASED:
        raise ConflictError(gettext("The lead is erased and cannot be changed."))
    check_unchanged(updated_at, edit)


def check_unchanged(updated_at: datetime, edit: LeadEdit) -> None:
    """Raise `ConflictError` if the lead was changed since the admin loaded it."""
    if edit.expected_updated_at is not None and edit.expected_updated_at != updated_at:
        raise ConflictError(gettext("Somebody updated this lead while you were editing. Review the changes."))


def changed_fields(lead: Mapping[str, Any], edit: LeadEdit) -> dict[str, str | None]:
    """Return the fields whose values in the edit differ from the lead's.

    Raises `ConflictError` if the edit clears the email address.
    """
    changes = edit.changes()
    if "email" in changes and changes["email"] is None and lead["email"]:
        raise ConflictError(gettext("The email address can be changed, but not removed."))
    return {name: value for name, value in changes.items() if lead[name] != value}


def original_fields(lead: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return all fields that the visitor filled in, with the values from before the edit.

    Returns None if the edit changes none of these fields.
    """
    if not any(name in VISITOR_FIELDS for name in changed):
        return None
    return {name: lead[name] for name in VISITOR_FIELDS}


def is_queued_lead(row: Mapping[str, Any]) -> bool:
    """Return True if a row of the replay queue contains a lead that could not be stored."""
    return row["stage"] == "site" or (row["stage"] == "persister" and not row["by_origin"])


def decode_queued_lead(payload: bytes | None, stage: str) -> dict[str, Any]:
    """Return the fields of the lead in a queued record (`payload`).

    A record of the stage `site` comes from a website's queue or from a form builder, and was refused by the
    gateway. So it may be any JSON object. Raises `ConflictError` if the record is missing or cannot be
    decoded.
    """
    if payload is None:
        raise ConflictError(gettext("The record of this lead is no longer stored: there is nothing to edit."))
    try:
        if stage != "site":
            LeadReceived.model_validate_json(payload)
        lead = json.loads(payload)
    except (ValueError, RecursionError):
        lead = None
    if not isinstance(lead, dict):
        raise ConflictError(
            gettext("The record of this lead cannot be decoded, so its fields cannot be edited.")
        )
    if stage == "site":
        lead |= {name: _typed_text(lead.get(name)) for name in VISITOR_FIELDS}
        lead["message"] = lead["message"] or ""
    return dict.fromkeys(VISITOR_FIELDS) | lead


def _typed_text(value: Any) -> str | None:
    """Return a field's value from a website as text, without lone surrogates; None if it is empty."""
    if value in (None, "", [], {}):
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def queued_lead(row: Mapping[str, Any]) -> QueuedLead | None:
    """Return the lead in a row of the replay queue.

    Returns None if the row's record is missing or cannot be decoded.
    """
    try:
        lead = decode_queued_lead(row["payload"], row["stage"])
    except ConflictError:
        return None
    fields = {name: lead[name] for name in VISITOR_FIELDS}
    return QueuedLead(id=row["lead_id"], updated_at=row["updated_at"], **fields)


def queued_name(row: Mapping[str, Any]) -> str | None:
    """Return the name of the lead in a row of the replay queue.

    Returns None if the row contains no lead that could not be stored, or if that lead has no name.
    """
    lead = queued_lead({**row, "updated_at": row["last_failed_at"]}) if is_queued_lead(row) else None
    return lead.name if lead else None


def encode_queued_lead(payload: bytes, changed: Mapping[str, Any]) -> bytes:
    """Return the queued record with the changed fields. All other fields stay as they were sent.

    Raises `ConflictError` if the assignee or the notes are changed, or if the record is nested too deeply. A
    record has no assignee and no notes.
    """
    if set(ADMIN_FIELDS) & set(changed):
        raise ConflictError(gettext("Assignee and notes can be set once the lead is stored."))
    try:
        record = json.dumps({**json.loads(payload), **changed}, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise ConflictError(gettext("The record of this lead is nested too deeply to be edited.")) from None
    return record.encode("utf-8", "replace")
