"""The timeline of a lead: its events as sentences for people, in order. No I/O, no clock.

Most events are entries of the audit log. The others come from the lead's rows in the tables: when it was
stored, what the mail server replied, which email is being sent, and when the next retry is due.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from contracts import topics
from contracts.audit import AuditEvent
from contracts.reasons import LIMIT_REASONS
from services.admin.rules.lead_rules import EMAIL_NAMES, STATUS_NAMES
from services.admin.rules.reasons import spam_word, with_words
from services.admin.schemas.leads import TimelineEvent, Tone
from services.admin.texts import gettext, gettext_noop, ngettext

Row = Mapping[str, Any]

DELIVERIES: Final = {
    "store": gettext_noop("storing the lead"),
    "audit": gettext_noop("storing an audit record"),
    **EMAIL_NAMES,
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
    AuditEvent.DELIVERY_DEAD: (
        gettext_noop("The delivery to %(destination)s failed for good: %(reason)s."),
        "bad",
    ),
    AuditEvent.DELIVERY_RESENT: (
        gettext_noop("%(actor)s sent a delivery to %(destination)s again."),
        _NEUTRAL,
    ),
}
_MS_PER_SECOND: Final = 1000
# The order of events that have the same time.
_ORDER: Final = ("lead.accepted", "lead.spooled", "lead.published", "lead.stored")


def build(
    lead: Row | None,
    entries: Iterable[Row],
    emails: Iterable[Row],
    queue: Iterable[Row],
    site_name: Callable[[str], str] = str,
) -> list[TimelineEvent]:
    """Return all events of a lead in order. Planned events come last.

    `entries` are the lead's audit entries, and `queue` are its rows of the replay queue. `lead` is None if
    the lead is not stored. `site_name` turns the key of a site into its display name.
    """
    audit, mails, rows = list(entries), list(emails), list(queue)
    events = [*_intake_events(lead, audit, rows, site_name)]
    events += [_audit_event(entry, mails) for entry in audit if entry["event"] != AuditEvent.LEAD_RECEIVED]
    events += [_sending_event(mail) for mail in mails if mail["state"] in ("reserved", "sending")]
    events += [
        _planned_event(row)
        for row in rows
        if row["state"] in ("waiting", "replaying") and row["next_attempt_at"]
    ]
    return _in_order(events)


def _intake_events(
    lead: Row | None, entries: list[Row], queue: list[Row], site_name: Callable[[str], str]
) -> Iterable[TimelineEvent]:
    """Yield the events up to the storing of the lead: accepted or spooled, published, stored."""
    received = next((entry for entry in entries if entry["event"] == AuditEvent.LEAD_RECEIVED), None)
    parked = next((entry for entry in entries if entry["event"] == AuditEvent.LEAD_PARKED), None)
    details = received["details_json"] if received else {}
    # If a retry stored the lead, only the entry of its failure has the position of its first record.
    position = details if _is_first_record(details) or parked is None else parked["details_json"]
    first_record_at = min(
        (row["origin_timestamp"] for row in queue if _is_first_record({"topic": row["origin_topic"]})),
        default=None,
    )
    accepted_at = (
        (received or {}).get("created_at_utc") or (lead and lead["created_at_utc"]) or first_record_at
    )
    if accepted_at is None:
        return
    key = details.get("site") or (lead and lead["site"])
    site = site_name(str(key)) if key else None
    if details.get("spooled"):
        yield _event(accepted_at, "lead.spooled", _spooled_title(site), tone="wait")
    else:
        title = gettext("Received from %(site)s.", site=site) if site else gettext("Received.")
        yield _event(accepted_at, "lead.accepted", title, tone="good")
    if _is_first_record(position):
        record = {name: position[name] for name in ("topic", "partition", "offset") if name in position}
        published = details.get("published_at") if position is details else None
        at = datetime.fromisoformat(str(published)) if published else first_record_at or accepted_at
        yield _event(max(at, accepted_at), "lead.published", gettext("Queued for processing."), record)
    if lead is not None and lead.get(
        "stored", True
    ):  # the tombstone of an erased lead may never have been stored
        yield _stored_event(lead["stored_at"], details.get("spam_reasons"))


def _spooled_title(site: object) -> str:
    if not site:
        return gettext("Received, and stored on the gateway's disk while Kafka was unavailable.")
    return gettext(
        "Received from %(site)s, and stored on the gateway's disk while Kafka was unavailable.", site=site
    )


def _stored_event(at: datetime, spam_reasons: Any) -> TimelineEvent:
    if not spam_reasons:
        return _event(at, "lead.stored", gettext("Stored."), tone="good")
    reasons = ", ".join(spam_word(str(reason)) for reason in spam_reasons)
    held = LIMIT_REASONS.issuperset(spam_reasons)
    text = gettext_noop("Held: %(reasons)s.") if held else gettext_noop("Stored as spam: %(reasons)s.")
    title = gettext(text, reasons=reasons)
    return _event(at, "lead.stored", title, {"spam_reasons": spam_reasons}, tone="wait" if held else "bad")


def _is_first_record(position: Mapping[str, Any]) -> bool:
    return str(position.get("topic", "")).endswith(topics.RECEIVED.name)


def _audit_event(entry: Row, emails: list[Row]) -> TimelineEvent:
    details, event = dict(entry["details_json"]), str(entry["event"])
    if event.startswith("email."):
        details |= _smtp_answer(entry, emails)
    title, tone = _title(event, details, entry["actor"])
    return _event(entry["created_at_utc"], event, title, details, actor=entry["actor"], tone=tone)


def _smtp_answer(entry: Row, emails: list[Row]) -> dict[str, Any]:
    """Return the mail server's answer to the attempt that an audit entry describes, as details of an event.

    Only the answer to an email's last attempt is stored. The details of other entries are empty.
    """
    kind, attempt = entry["details_json"].get("kind"), entry["details_json"].get("attempt")
    for mail in emails:
        if (mail["kind"], mail["attempts"]) == (kind, attempt) and mail["smtp_answer"]:
            return {"smtp_answer": mail["smtp_answer"]}
    return {}


def _title(event: str, details: Mapping[str, Any], actor: str) -> tuple[str, Tone]:
    """Return the sentence for an event and its tone; the event's name if it has no sentence."""
    name = event.replace(".", " ").replace("_", " ").capitalize()
    template, tone = TITLES.get(event) or (f"{name}.", _NEUTRAL)
    delivery = _delivery(details.get("kind"))
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
    match event, details:
        case AuditEvent.LEAD_PARKED, {"final": True}:
            return gettext_noop("%(Delivery)s failed: %(reason)s. A retry cannot help.")
        case AuditEvent.EMAIL_SENT, {"code": code} if code:
            return gettext_noop("%(Delivery)s was sent (the mail server answered %(code)s).")
        case AuditEvent.LEAD_REPLAYED, {"cause": "requested", "comment": comment} if comment:
            return gettext_noop('Retried %(delivery)s: requested by %(actor)s ("%(comment)s").')
        case AuditEvent.LEAD_REPLAYED, {"cause": "requested"}:
            return gettext_noop("Retried %(delivery)s: requested by %(actor)s.")
        case AuditEvent.LEAD_REPLAYED, {"cause": "overdue"}:
            return gettext_noop("Retried %(delivery)s, because there was no result within an hour.")
        case _:
            return None


def _delivery(kind: object) -> str:
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


def _sending_event(mail: Row) -> TimelineEvent:
    return _event(
        mail["updated_at"],
        "email.in_hand",
        gettext("Sending %(delivery)s.", delivery=_delivery(mail["kind"])),
        {"kind": mail["kind"], "state": mail["state"]},
        tone="wait",
    )


def _planned_event(row: Row) -> TimelineEvent:
    """Return the event for what happens next to an open row of the replay queue."""
    delivery = _delivery(row["kind"])
    details = {"queue_id": str(row["id"]), "stage": row["stage"], "kind": row["kind"]}
    if row["state"] == "replaying":
        at, event = row["next_attempt_at"], "replay.awaited"
        title = gettext(
            "Waiting for the result of %(delivery)s. Without a result it is retried.", delivery=delivery
        )
    elif row["requested_at"]:
        at, event = row["requested_at"], "retry.requested"
        actor = row["requested_by"] or gettext("An admin")
        title = gettext("%(actor)s requested a retry of %(delivery)s.", actor=actor, delivery=delivery)
    else:
        # A row is retried by the flusher's first run after it is due.
        at, event = row["next_attempt_at"], "retry.planned"
        title = ngettext(
            "Next retry of %(delivery)s, soon after this time; %(count)s retry left.",
            "Next retry of %(delivery)s, soon after this time; %(count)s retries left.",
            3 - row["attempts"],
            delivery=delivery,
        )
    return _event(at, event, title, details, tone="wait", planned=True)


def _event(
    at: datetime, event: str, title: str, details: Mapping[str, Any] | None = None, *,
    actor: str | None = None, tone: Tone = "neutral", planned: bool = False,
) -> TimelineEvent:  # fmt: skip
    return TimelineEvent(
        at=at,
        since_previous_ms=0,
        event=event,
        title=title,
        actor=actor,
        tone=tone,
        planned=planned,
        details=dict(details or {}),
    )


def _in_order(events: list[TimelineEvent]) -> list[TimelineEvent]:
    """Return the events in order, each with the time since the one before it."""
    rank = {name: number for number, name in enumerate(_ORDER)}
    ordered = sorted(events, key=lambda event: (event.planned, event.at, rank.get(event.event, len(rank))))
    timed = []
    for number, event in enumerate(ordered):
        previous_at = ordered[number - 1].at if number else event.at
        # The clocks of the gateway and the database may differ a little.
        elapsed_ms = max(0, round((event.at - previous_at).total_seconds() * _MS_PER_SECOND))
        timed.append(event.model_copy(update={"since_previous_ms": elapsed_ms}))
    return timed
