"""What an admin may do to a lead, and what then follows. No I/O, no clock."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from contracts.failures import Kind
from contracts.leads import LeadReceived, LeadStatus

MAILS: Final[tuple[Kind, ...]] = ("welcome", "admin_alert")


class Refused(Exception):
    """The lead's state does not allow it: tell the admin why (409)."""


class Unknown(Exception):
    """There is no such thing: tell the admin which (404)."""


def judge_change(current: LeadStatus, new: LeadStatus, expected: LeadStatus | None) -> bool:
    """Return whether the change is one, or raise `Refused`."""
    if current is LeadStatus.ERASED:
        raise Refused("The lead is erased, and that is final.")
    if expected is not None and current is not expected:
        raise Refused(f"The lead is {current}, not {expected}: somebody changed it before you.")
    if current is LeadStatus.SPAM and new not in (LeadStatus.SPAM, LeadStatus.RECEIVED):
        raise Refused("A spam lead becomes 'received' first: its mails are sent then.")
    return new is not current


def mails_owed(current: LeadStatus, new: LeadStatus) -> tuple[Kind, ...]:
    """Return the mails that a change of status makes due: spam was never mailed."""
    return MAILS if (current, new) == (LeadStatus.SPAM, LeadStatus.RECEIVED) else ()


def undo_status(previous: LeadStatus, new: LeadStatus) -> LeadStatus | None:
    """Return the status that undoes a change, where it can be undone without another effect.

    A lead that leaves spam is mailed what it was not sent yet: no button that asks nothing may do that.
    """
    return None if LeadStatus.SPAM in (previous, new) or new is previous else previous


def judge_resend(current: LeadStatus, kind: str, delivery: str | None) -> None:
    """Raise `Refused` where this mail is not to be sent again."""
    if current in (LeadStatus.ERASED, LeadStatus.SPAM):
        raise Refused(f"The lead is {current}: it is not mailed.")
    if delivery == "sent":
        raise Refused(f"The {kind} mail was sent, and is sent once only.")


def as_received(lead: Mapping[str, Any], event_id: UUID) -> LeadReceived:
    """Write a stored lead as the event that it came from, for a stage that takes it again."""
    return LeadReceived.model_validate(
        {
            **lead,
            "event_id": event_id,
            "lead_id": lead["id"],
            "occurred_at": lead["created_at_utc"],
        }
    )
