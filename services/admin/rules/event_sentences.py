"""The sentences for the events of a lead's timeline. No I/O.

Each sentence is one translatable text with named values, because the order of words differs between
languages.
"""

from collections.abc import Mapping
from typing import Any, Final

from contracts.audit import AuditEvent
from services.admin.rules.lead_rules import EMAIL_NAMES, STATUS_NAMES
from services.admin.rules.reasons import with_words
from services.admin.schemas.leads import Tone
from services.admin.texts import gettext, gettext_noop

DELIVERIES: Final = {
    "store": gettext_noop("storing the lead"),
    "audit": gettext_noop("storing an audit record"),
    **EMAIL_NAMES,
    "held_digest": gettext_noop("the list of held leads"),
    "pull": gettext_noop("importing the lead from the website's queue"),
}
# The fields that an admin can edit, within sentences.
EDITED_FIELDS: Final = {
    "name": gettext_noop("name"),
    "email": gettext_noop("email"),
    "phone": gettext_noop("phone"),
    "company": gettext_noop("company"),
    "service": gettext_noop("service"),
    "message": gettext_noop("message"),
    "assignee": gettext_noop("assignee"),
    "notes": gettext_noop("notes"),
}
_NEUTRAL: Final[Tone] = "neutral"
# The sentences for events, with their tones. Where `_choose_sentence` has a more exact one, that is used.
TITLES: Final[dict[str, tuple[str, Tone]]] = {
    AuditEvent.LEAD_CONFLICT: (
        gettext_noop("Duplicate request quarantined: the first lead with its key is kept."),
        "bad",
    ),
    AuditEvent.LEAD_PARKED: (
        gettext_noop("%(Delivery)s failed: %(reason)s. It is retried automatically."),
        "bad",
    ),
    AuditEvent.LEAD_DEAD: (
        gettext_noop("%(Delivery)s failed for good: %(reason)s. It is not retried automatically."),
        "bad",
    ),
    AuditEvent.LEAD_REPLAYED: (
        gettext_noop("Retried %(delivery)s automatically (retry %(attempts)s of 3)."),
        "wait",
    ),
    AuditEvent.LEAD_ARCHIVED: (
        gettext_noop("%(actor)s archived %(delivery)s: it is not retried automatically."),
        _NEUTRAL,
    ),
    AuditEvent.LEAD_STATUS_CHANGED: (
        gettext_noop("%(actor)s changed the status from %(previous)s to %(new)s."),
        _NEUTRAL,
    ),
    AuditEvent.LEAD_EDITED: (gettext_noop("%(actor)s edited %(fields)s."), _NEUTRAL),
    AuditEvent.LEAD_NOTE_ADDED: (gettext_noop("%(actor)s added a note."), _NEUTRAL),
    AuditEvent.LEAD_NOTE_EDITED: (gettext_noop("%(actor)s edited a note."), _NEUTRAL),
    AuditEvent.LEAD_NOTE_DELETED: (gettext_noop("%(actor)s deleted a note."), _NEUTRAL),
    AuditEvent.LEAD_EXPORTED: (gettext_noop("%(actor)s exported this person's data."), _NEUTRAL),
    AuditEvent.LEAD_ERASED: (
        gettext_noop("%(actor)s deleted the personal data. This history stays."),
        _NEUTRAL,
    ),
    AuditEvent.DELIVERY_REQUESTED: (gettext_noop("%(actor)s sent the lead to %(destination)s."), _NEUTRAL),
    AuditEvent.EMAIL_SENT: (gettext_noop("%(Delivery)s was sent."), "good"),
    AuditEvent.EMAIL_FAILED: (gettext_noop("%(Delivery)s was not sent: %(reason)s."), "bad"),
    AuditEvent.EMAIL_UNKNOWN: (gettext_noop("%(Delivery)s may have been sent: %(reason)s."), "bad"),
    AuditEvent.EMAIL_SUPPRESSED: (gettext_noop("%(Delivery)s was suppressed: %(reason)s."), _NEUTRAL),
    AuditEvent.EMAIL_BOUNCED: (gettext_noop("%(Delivery)s came back: %(reason)s."), "bad"),
    AuditEvent.EMAIL_COMPLAINED: (gettext_noop("The recipient reported %(delivery)s as spam."), "bad"),
    AuditEvent.DELIVERY_DEAD: (
        gettext_noop("The delivery to %(destination)s failed for good: %(reason)s."),
        "bad",
    ),
    AuditEvent.DELIVERY_RESENT: (
        gettext_noop("%(actor)s sent a delivery to %(destination)s again."),
        _NEUTRAL,
    ),
}


def event_sentence(event: str, details: Mapping[str, Any], actor: str) -> tuple[str, Tone]:
    """Return the sentence for an event, and its tone.

    For an unknown event, the sentence is the event's name.
    """
    name = event.replace(".", " ").replace("_", " ").capitalize()
    template, tone = TITLES.get(event) or (f"{name}.", _NEUTRAL)
    delivery = delivery_name(details.get("kind"))
    title = gettext(
        _choose_sentence(event, details) or template,
        actor=actor,
        delivery=delivery,
        Delivery=delivery[0].upper() + delivery[1:],
        reason=_reason(details),
        code=str(details.get("code")),
        attempts=details.get("attempts"),
        comment=details.get("comment"),
        previous=_status(details.get("from")),
        new=_status(details.get("to")),
        fields=_field_list(details.get("fields")),
        destination=details.get("destination"),
    )
    return title, tone


def _choose_sentence(event: str, details: Mapping[str, Any]) -> str | None:
    """Return the sentence for an event with these details, or None if `TITLES` has it."""
    sentence: str | None
    match event, details:
        case AuditEvent.LEAD_PARKED, {"final": True}:
            sentence = gettext_noop("%(Delivery)s failed: %(reason)s. A retry cannot help.")
        case AuditEvent.EMAIL_SENT, {"code": code} if code:
            sentence = gettext_noop("%(Delivery)s was sent (the mail server answered %(code)s).")
        case AuditEvent.LEAD_REPLAYED, {"cause": "requested", "comment": comment} if comment:
            sentence = gettext_noop('Retried %(delivery)s: requested by %(actor)s ("%(comment)s").')
        case AuditEvent.LEAD_REPLAYED, {"cause": "requested"}:
            sentence = gettext_noop("Retried %(delivery)s: requested by %(actor)s.")
        case AuditEvent.LEAD_REPLAYED, {"cause": "overdue"}:
            sentence = gettext_noop("Retried %(delivery)s, because there was no result within an hour.")
        case AuditEvent.DELIVERY_REQUESTED, {"action": "retry"}:
            sentence = gettext_noop("%(actor)s retried the failed deliveries to %(destination)s.")
        case _:
            sentence = None
    return sentence


def delivery_name(kind: object) -> str:
    """Return the name of a kind of delivery within a sentence, such as `the confirmation email`."""
    return gettext(DELIVERIES.get(str(kind), gettext_noop("a step")))


def _status(status: object) -> str:
    return gettext(STATUS_NAMES.get(str(status), gettext_noop("an unknown status")))


def _reason(details: Mapping[str, Any]) -> str:
    reason = details.get("reason")
    return with_words(str(reason)) if reason else gettext("no reason given")


def _field_list(fields: object) -> str:
    if not isinstance(fields, list) or not fields:
        return gettext("the lead")
    return ", ".join(gettext(EDITED_FIELDS[each]) if each in EDITED_FIELDS else str(each) for each in fields)
