"""The timeline of a lead: its events as sentences for people, in order. No I/O, no clock.

Most events are entries of the audit log. Other events come from the lead's rows in the tables: its storing,
the mail server's reply, an email that is being sent, and the next retry.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from contracts import topics
from contracts.audit import AuditEvent
from contracts.reasons import LIMIT_REASONS
from services.admin.rules.event_sentences import delivery_name, event_sentence
from services.admin.rules.reasons import spam_word
from services.admin.schemas.leads import TimelineEvent, Tone
from services.admin.texts import gettext, gettext_noop, ngettext

Row = Mapping[str, Any]

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
    events += [_digest_event(mail) for mail in mails if mail.get("digest_at")]
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
    failure = next((entry for entry in entries if entry["event"] == AuditEvent.LEAD_PARKED), None)
    details = received["details_json"] if received else {}
    # If a retry stored the lead, only the entry of its failure has the position of its first record.
    position = details if _is_first_record(details) or failure is None else failure["details_json"]
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
    title, tone = event_sentence(event, details, entry["actor"])
    return _event(entry["created_at_utc"], event, title, details, actor=entry["actor"], tone=tone)


def _smtp_answer(entry: Row, emails: list[Row]) -> dict[str, Any]:
    """Return the mail server's reply to the attempt that an audit entry describes, as details of an event.

    Returns an empty dict if the reply is not stored. Only the reply to an email's last attempt is stored.
    """
    kind, attempt = entry["details_json"].get("kind"), entry["details_json"].get("attempt")
    for mail in emails:
        if (mail["kind"], mail["attempts"]) == (kind, attempt) and mail["smtp_answer"]:
            return {"smtp_answer": mail["smtp_answer"]}
    return {}


def _sending_event(mail: Row) -> TimelineEvent:
    return _event(
        mail["updated_at"],
        "email.in_hand",
        gettext("Sending %(delivery)s.", delivery=delivery_name(mail["kind"])),
        {"kind": mail["kind"], "state": mail["state"]},
        tone="wait",
    )


def _digest_event(mail: Row) -> TimelineEvent:
    return _event(
        mail["digest_at"],
        "digest.planned",
        gettext("The next digest to the team lists the lead. It is sent about this time."),
        {"kind": mail["kind"], "state": mail["state"]},
        tone="wait",
        planned=True,
    )


def _planned_event(row: Row) -> TimelineEvent:
    """Return the planned event of a queue row: the awaited result, the requested retry or the next retry."""
    delivery = delivery_name(row["kind"])
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
