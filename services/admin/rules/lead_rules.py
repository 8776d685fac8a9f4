"""Which changes of a lead are allowed, and which emails they cause. No I/O, no clock."""

from collections.abc import Collection, Mapping
from typing import Final

from contracts.failures import Kind
from contracts.leads import LeadStatus
from contracts.reasons import Reason
from contracts.text import is_blank
from services.admin.rules.errors import ConflictError
from services.admin.texts import gettext, gettext_noop

# The names of the statuses in texts for people.
STATUS_NAMES: Final[Mapping[str, str]] = {
    LeadStatus.RECEIVED: gettext_noop("New"),
    LeadStatus.PROCESSING: gettext_noop("In progress"),
    LeadStatus.CONTACTED: gettext_noop("Contacted"),
    LeadStatus.WON: gettext_noop("Won"),
    LeadStatus.LOST: gettext_noop("Lost"),
    LeadStatus.HELD: gettext_noop("Held"),
    LeadStatus.SPAM: gettext_noop("Spam"),
    LeadStatus.ERASED: gettext_noop("Erased"),
}
EMAIL_KINDS: Final[tuple[Kind, ...]] = ("welcome", "admin_alert")
# The kinds of email within sentences.
EMAIL_NAMES: Final[Mapping[str, str]] = {
    "welcome": gettext_noop("the confirmation email"),
    "admin_alert": gettext_noop("the team notification"),
}


def lead_title(lead: object) -> str:
    """Return a lead's title on pages: its name, or else its email address, or else its phone.

    Returns a general title for an erased lead, and for a lead without any of these. `lead` is an object with
    `name` and `email`, and optionally with `phone` and `status`.
    """
    if getattr(lead, "status", None) == LeadStatus.ERASED:
        return gettext("Erased lead")
    values = (getattr(lead, name, None) or "" for name in ("name", "email", "phone"))
    return next((value for value in values if not is_blank(value)), gettext("Website visitor"))


def check_status_change(current: LeadStatus, new: LeadStatus, expected: LeadStatus | None) -> bool:
    """Return True if the new status differs from the current one.

    Raises `ConflictError` if the change is not allowed, or if the current status is not the `expected` one.
    """
    if current is LeadStatus.ERASED:
        raise ConflictError(gettext("The lead is erased and cannot be changed."))
    if expected is not None and current is not expected:
        raise ConflictError(
            gettext(
                "The status was changed to %(status)s in the meantime. Check it and try again.",
                status=gettext(STATUS_NAMES[current]),
            )
        )
    if current is LeadStatus.SPAM and new not in (LeadStatus.SPAM, LeadStatus.RECEIVED):
        raise ConflictError(gettext("Release the lead from spam first: change its status to New."))
    if current is LeadStatus.HELD and new not in (LeadStatus.RECEIVED, LeadStatus.SPAM):
        raise ConflictError(gettext("The lead is held. Release it first (status New), or mark it as spam."))
    return new is not current


def emails_due(current: LeadStatus, new: LeadStatus) -> tuple[Kind, ...]:
    """Return the kinds of email to send after a change of status.

    A lead that leaves spam gets both emails. A lead that was held gets only the confirmation: the team learns
    of the lead from the digest of held leads. The digest lists the lead even if it was released meanwhile.
    """
    if new is not LeadStatus.RECEIVED:
        return ()
    return {LeadStatus.SPAM: EMAIL_KINDS, LeadStatus.HELD: EMAIL_KINDS[:1]}.get(current, ())


def release_reason(current: LeadStatus) -> Reason:
    """Return the reason to store with an email that is sent when a lead leaves this status."""
    return Reason.RELEASED_FROM_HOLD if current is LeadStatus.HELD else Reason.RELEASED_FROM_SPAM


def mails_text(kinds: Collection[str]) -> str:
    """Return the requested kinds of email as words, such as `the confirmation and the notification`."""
    if set(EMAIL_KINDS) <= set(kinds):
        return gettext("the confirmation and the notification")
    words = {"welcome": gettext_noop("the confirmation"), "admin_alert": gettext_noop("the notification")}
    return "".join(gettext(word) for kind, word in words.items() if kind in kinds)


def undo_status(previous: LeadStatus, new: LeadStatus) -> LeadStatus | None:
    """Return the status that the undo button sets, or None if there is no undo button.

    A change to or from spam has no undo button, because either the change or its undo sends emails. A release
    from hold has none, because nobody can put a lead on hold.
    """
    if LeadStatus.SPAM in (previous, new) or previous is LeadStatus.HELD or new is previous:
        return None
    return previous


def check_resend(current: LeadStatus, kind: str, delivery_state: str | None, email: str | None) -> None:
    """Raise `ConflictError` if the email of this kind must not be sent again.

    `delivery_state` is the delivery state of this kind of email: `collected` as long as a digest is to list
    the lead. `email` is the lead's address.
    """
    if current in (LeadStatus.ERASED, LeadStatus.HELD, LeadStatus.SPAM):
        raise ConflictError(
            gettext(
                "The status of the lead is %(status)s, so it gets no emails.",
                status=gettext(STATUS_NAMES[current]),
            )
        )
    if kind == "welcome" and not email:
        raise ConflictError(gettext("The lead has no email address. Edit the lead to add one."))
    if delivery_state == "collected":
        raise ConflictError(gettext("The next digest to the team lists the lead."))
    if delivery_state == "complained":
        raise ConflictError(
            gettext(
                "The recipient reported %(email)s as spam, so it is not sent again.",
                email=gettext(EMAIL_NAMES[kind]),
            )
        )
    if delivery_state == "sent":
        raise ConflictError(
            gettext(
                "Each email is sent only once, and %(email)s was already sent.",
                email=gettext(EMAIL_NAMES[kind]),
            )
        )
