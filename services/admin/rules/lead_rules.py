"""Which changes of a lead are allowed, and which emails follow from them. No I/O, no clock."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from contracts.failures import Kind
from contracts.leads import LeadReceived, LeadStatus
from contracts.text import is_blank
from services.admin.rules.errors import ConflictError

# The names of the statuses in texts for people.
STATUS_NAMES: Final[Mapping[str, str]] = {
    LeadStatus.RECEIVED: "New",
    LeadStatus.PROCESSING: "In progress",
    LeadStatus.CONTACTED: "Contacted",
    LeadStatus.WON: "Won",
    LeadStatus.LOST: "Lost",
    LeadStatus.SPAM: "Spam",
    LeadStatus.ERASED: "Erased",
}
EMAIL_KINDS: Final[tuple[Kind, ...]] = ("welcome", "admin_alert")


def lead_title(lead: object) -> str:
    """Return what a page calls a lead: its name, else its address or phone. Never an invisible text.

    `lead` has a name and an email, and may have a phone and a status.
    """
    if getattr(lead, "status", None) == LeadStatus.ERASED:
        return "Erased lead"
    values = (getattr(lead, name, None) or "" for name in ("name", "email", "phone"))
    return next((value for value in values if not is_blank(value)), "Website visitor")


def check_status_change(current: LeadStatus, new: LeadStatus, expected: LeadStatus | None) -> bool:
    """Return whether the new status differs from the current one. Raises `ConflictError` if it is refused."""
    if current is LeadStatus.ERASED:
        raise ConflictError("The lead is erased and cannot be changed.")
    if expected is not None and current is not expected:
        raise ConflictError(
            f"The status was changed to {STATUS_NAMES[current]} in the meantime. Check it and try again."
        )
    if current is LeadStatus.SPAM and new not in (LeadStatus.SPAM, LeadStatus.RECEIVED):
        raise ConflictError("Release the lead from spam first: change its status to New.")
    return new is not current


def emails_due(current: LeadStatus, new: LeadStatus) -> tuple[Kind, ...]:
    """Return the emails that a change of status makes due: both if a lead leaves spam."""
    return EMAIL_KINDS if (current, new) == (LeadStatus.SPAM, LeadStatus.RECEIVED) else ()


def undo_status(previous: LeadStatus, new: LeadStatus) -> LeadStatus | None:
    """Return the status that undoes a change; None if undoing it would have another effect.

    A lead that leaves spam is mailed, and no button may do that without confirmation.
    """
    return None if LeadStatus.SPAM in (previous, new) or new is previous else previous


def check_resend(current: LeadStatus, kind: str, delivery_state: str | None, email: str | None) -> None:
    """Raise `ConflictError` if this email must not be sent again. `email` is the lead's address."""
    if current in (LeadStatus.ERASED, LeadStatus.SPAM):
        raise ConflictError(f"The status of the lead is {STATUS_NAMES[current]}, so it gets no emails.")
    if kind == "welcome" and not email:
        raise ConflictError("The lead has no email address. Edit the lead to add one.")
    if delivery_state == "sent":
        raise ConflictError(f"The {kind} email was already sent. Each email is sent only once.")


def as_received(lead: Mapping[str, Any], event_id: UUID) -> LeadReceived:
    """Return a stored lead as its `LeadReceived` event, for a stage that processes it again."""
    return LeadReceived.model_validate(
        {
            **lead,
            "event_id": event_id,
            "lead_id": lead["id"],
            "occurred_at": lead["created_at_utc"],
        }
    )
