"""A lead's whole way, in words that a person understands. Pure: rows in, ordered events out; no clock.

The audit log says what happened; the rows say what it does not: when it was stored, what a mail server
answered, what is in hand now and when the next try comes.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from contracts import topics
from contracts.audit import AuditEvent
from services.admin.rules.reasons import spam_word
from services.admin.rules.reasons import told as reason_told
from services.admin.schemas.leads import TimelineEvent, Tone

Row = Mapping[str, Any]

KINDS: Final = {
    "store": "storing the lead",
    "audit": "storing an audit record",
    "welcome": "the welcome mail",
    "admin_alert": "the alert to the team",
    "pull": "taking the lead from the site's own queue",
}
_PLAIN: Final[Tone] = "neutral"
WORDS: Final[dict[str, tuple[str, Tone]]] = {
    AuditEvent.LEAD_CONFLICT: ("Another lead came under the same key; the first one is kept.", "bad"),
    AuditEvent.LEAD_PARKED: ("Trouble with {what}: {why}. {hope}", "bad"),
    AuditEvent.LEAD_DEAD: ("Gave up on {what}: {why}. A person has to decide.", "bad"),
    AuditEvent.LEAD_REPLAYED: ("Tried {what} again{again}.", "wait"),
    AuditEvent.LEAD_ARCHIVED: ("{actor} set {what} aside: it is not tried again by itself.", _PLAIN),
    AuditEvent.LEAD_STATUS_CHANGED: ("{actor} changed the status from {was} to {now}.", _PLAIN),
    AuditEvent.LEAD_EDITED: ("{actor} edited {fields}.", _PLAIN),
    AuditEvent.LEAD_EXPORTED: ("{actor} exported this person's data.", _PLAIN),
    AuditEvent.LEAD_ERASED: (
        "{actor} erased the personal data. What happened to the lead is still told.",
        _PLAIN,
    ),
    AuditEvent.EMAIL_SENT: ("{What} was sent{after}.", "good"),
    AuditEvent.EMAIL_FAILED: ("{What} was not sent: {why}.", "bad"),
    AuditEvent.EMAIL_UNKNOWN: ("{What} may have been sent or not: {why}.", "bad"),
    AuditEvent.EMAIL_SUPPRESSED: ("{What} was held back: {why}.", _PLAIN),
}
_MS: Final = 1000
# Events of one moment stand in the order in which they came about.
_ORDER: Final = ("lead.accepted", "lead.spooled", "lead.published", "lead.stored")


def build(
    lead: Row | None, entries: Iterable[Row], emails: Iterable[Row], queue: Iterable[Row]
) -> list[TimelineEvent]:
    """Return every event of one lead, in order; what is still to come stands last, as planned."""
    told, mails, rows = list(entries), list(emails), list(queue)
    events = [*_arrival(lead, told, rows)]
    events += [_from_entry(entry, mails) for entry in told if entry["event"] != AuditEvent.LEAD_RECEIVED]
    events += [_in_hand(mail) for mail in mails if mail["state"] in ("reserved", "sending")]
    events += [
        _planned(row) for row in rows if row["state"] in ("waiting", "replaying") and row["next_attempt_at"]
    ]
    return _timed(events)


def _arrival(lead: Row | None, entries: list[Row], queue: list[Row]) -> Iterable[TimelineEvent]:
    """Tell how the lead came in: accepted, maybe kept on the gateway's disk, handed to Kafka, stored."""
    received = next((each for each in entries if each["event"] == AuditEvent.LEAD_RECEIVED), None)
    first = next((each for each in entries if each["event"] == AuditEvent.LEAD_PARKED), None)
    known = received["details_json"] if received else {}
    # A lead stored on a retry: its failure says where it lay first.
    place = known if _is_first(known) or first is None else first["details_json"]
    origin = min(
        (row["origin_timestamp"] for row in queue if _is_first({"topic": row["origin_topic"]})), default=None
    )
    accepted = (received or {}).get("created_at_utc") or (lead and lead["created_at_utc"]) or origin
    if accepted is None:
        return
    site = known.get("site") or (lead and lead["site"])
    from_site = f" from the site '{site}'" if site else ""
    if known.get("spooled"):
        said = f"Accepted{from_site}, and kept safe on the gateway's own disk: Kafka was away."
        yield _event(accepted, "lead.spooled", said, tone="wait")
    else:
        yield _event(accepted, "lead.accepted", f"Accepted{from_site}.", tone="good")
    if _is_first(place):
        where = {name: place[name] for name in ("topic", "partition", "offset") if name in place}
        said = f"On its way (Kafka partition {place['partition']}, offset {place['offset']})."
        published = known.get("published_at") if place is known else None
        at = datetime.fromisoformat(str(published)) if published else origin or accepted
        yield _event(max(at, accepted), "lead.published", said, where)
    if lead is not None and lead.get("stored", True):  # a tombstone may be of a lead that never came so far
        reasons = known.get("spam_reasons")
        said = (
            "Stored."
            if not reasons
            else "Stored as spam: " + ", ".join(spam_word(str(each)) for each in reasons) + "."
        )
        tone: Tone = "bad" if reasons else "good"
        yield _event(
            lead["stored_at"], "lead.stored", said, {"spam_reasons": reasons} if reasons else {}, tone=tone
        )


def _is_first(place: Mapping[str, Any]) -> bool:
    return str(place.get("topic", "")).endswith(topics.RECEIVED.name)


def _from_entry(entry: Row, emails: list[Row]) -> TimelineEvent:
    details, event = dict(entry["details_json"]), str(entry["event"])
    if event.startswith("email."):
        details |= _answer(entry, emails)
    title, tone = _words(event, details, entry["actor"])
    return _event(entry["created_at_utc"], event, title, details, actor=entry["actor"], tone=tone)


def _answer(entry: Row, emails: list[Row]) -> dict[str, Any]:
    """Return the mail server's own words, which are kept of each mail's last try only."""
    kind, attempt = entry["details_json"].get("kind"), entry["details_json"].get("attempt")
    for mail in emails:
        if (mail["kind"], mail["attempts"]) == (kind, attempt) and mail["smtp_answer"]:
            return {"smtp_answer": mail["smtp_answer"]}
    return {}


def _words(event: str, details: Mapping[str, Any], actor: str) -> tuple[str, Tone]:
    """Say one event as a sentence, and whether it is good news."""
    template, tone = WORDS.get(event) or (
        event.replace(".", " ").replace("_", " ").capitalize() + ".",
        _PLAIN,
    )
    what, code = KINDS.get(str(details.get("kind")), "a step"), details.get("code")
    said = template.format(
        actor=actor,
        what=what,
        What=what[0].upper() + what[1:],
        why=_why(details),
        after=f" (the mail server answered {code})" if code else "",
        hope="No retry can help." if details.get("final") else "It is tried again.",
        again=_cause(details, actor),
        was=details.get("from"),
        now=details.get("to"),
        fields=_listed(details.get("fields")),
    )
    return said, tone


def _why(details: Mapping[str, Any]) -> str:
    reason = details.get("reason")
    return reason_told(str(reason)) if reason else "no reason given"


def _cause(details: Mapping[str, Any], actor: str) -> str:
    match details.get("cause"):
        case "requested":
            said = f' ("{details["comment"]}")' if details.get("comment") else ""
            return f": {actor} asked for it{said}"
        case "overdue":
            return ": no word had come for an hour"
        case _:
            return f" by itself (retry {details.get('attempts')} of 3)"


def _listed(fields: object) -> str:
    return ", ".join(map(str, fields)) if isinstance(fields, list) and fields else "the lead"


def _in_hand(mail: Row) -> TimelineEvent:
    what = KINDS[mail["kind"]]
    return _event(
        mail["updated_at"],
        "email.in_hand",
        f"Sending {what} now.",
        {"kind": mail["kind"], "state": mail["state"]},
        tone="wait",
    )


def _planned(row: Row) -> TimelineEvent:
    """Tell what comes next for an open row of the queue."""
    what, details = (
        KINDS[row["kind"]],
        {"queue_id": str(row["id"]), "stage": row["stage"], "kind": row["kind"]},
    )
    if row["state"] == "replaying":
        said = f"Waiting for the outcome of {what}; without one it is tried again."
        return _event(row["next_attempt_at"], "replay.awaited", said, details, tone="wait", planned=True)
    if row["requested_at"]:
        said = f"{row['requested_by'] or 'An admin'} asked for {what} to be tried again now."
        return _event(row["requested_at"], "retry.requested", said, details, tone="wait", planned=True)
    left = 3 - row["attempts"]
    # The time is when it is due; a run of the queue then takes it.
    hope = f"{left} {'try is' if left == 1 else 'tries are'} left"
    said = f"Next try of {what}, by the queue's first run after this; {hope}."
    return _event(row["next_attempt_at"], "retry.planned", said, details, tone="wait", planned=True)


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


def _timed(events: list[TimelineEvent]) -> list[TimelineEvent]:
    """Put events in order and say how long each came after the one before it."""
    rank = {name: place for place, name in enumerate(_ORDER)}
    ordered = sorted(events, key=lambda each: (each.planned, each.at, rank.get(each.event, len(rank))))
    timed = []
    for number, each in enumerate(ordered):
        before = ordered[number - 1].at if number else each.at
        # The gateway's and the database's clocks may differ a little.
        waited = max(0, round((each.at - before).total_seconds() * _MS))
        timed.append(each.model_copy(update={"since_previous_ms": waited}))
    return timed
