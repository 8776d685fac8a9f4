"""The activity that a lead's page shows: notes and events, newest first. No I/O, no clock.

One entry shows all events of a delivery (an email, or the storing of the lead) and its current state. So a
failure and its retries are one entry.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from contracts.audit import AuditEvent
from services.admin.schemas.leads import Email, LeadDetail, LeadNote, QueueItem, TimelineEvent

_INTAKE: Final = ("lead.accepted", "lead.spooled", "lead.published", "lead.stored")
_DELIVERY: Final = (
    "email.in_hand",
    "digest.planned",
    "replay.awaited",
    "retry.planned",
    "retry.requested",
    AuditEvent.LEAD_PARKED,
    AuditEvent.LEAD_DEAD,
    AuditEvent.LEAD_REPLAYED,
    AuditEvent.LEAD_ARCHIVED,
    AuditEvent.EMAIL_SENT,
    AuditEvent.EMAIL_FAILED,
    AuditEvent.EMAIL_UNKNOWN,
    AuditEvent.EMAIL_SUPPRESSED,
    AuditEvent.EMAIL_BOUNCED,
    AuditEvent.EMAIL_COMPLAINED,
)
# The states of an email that came back. Its queue row is dead, which says less.
_CAME_BACK: Final = ("bounced", "complained")
# The sentences of these events contain everything.
_PLAIN: Final = (
    AuditEvent.LEAD_STATUS_CHANGED,
    AuditEvent.LEAD_EDITED,
    AuditEvent.LEAD_EXPORTED,
    AuditEvent.LEAD_NOTE_DELETED,
)
# Not shown, because the notes themselves show these events.
_TOLD_BY_NOTES: Final = (AuditEvent.LEAD_NOTE_ADDED, AuditEvent.LEAD_NOTE_EDITED)


@dataclass(frozen=True)
class Activity:
    """One entry: a note, a delivery or another event.

    `id` stays the same when newer entries are added. `title` is the sentence that describes an event.
    `history` has the events of the entry, oldest first. A delivery has a `kind` and a `state`. They come from
    its email (`email`) and from its row of the replay queue (`queue`).
    """

    id: str
    at: datetime
    title: str = ""
    tone: str = "neutral"
    history: tuple[TimelineEvent, ...] = ()
    note: LeadNote | None = None
    kind: str = ""
    state: str = ""
    reason: str | None = None
    email: Email | None = None
    queue: QueueItem | None = None


def build_activity(details: LeadDetail) -> list[Activity]:
    """Return the entries of a lead's activity, newest first."""
    entries = [Activity(id=f"note-{note.id}", at=note.created_at, note=note) for note in details.notes]
    intake, deliveries = list[TimelineEvent](), dict[str, list[TimelineEvent]]()
    for number, event in enumerate(details.timeline):
        # If a lead was stored as spam or held, that is an entry of its own.
        if event.event in _INTAKE and (event.event != "lead.stored" or event.tone == "good"):
            intake.append(event)
        elif event.event in _DELIVERY and "kind" in event.details:
            deliveries.setdefault(str(event.details["kind"]), []).append(event)
        elif event.event not in _TOLD_BY_NOTES:
            entries.append(_event(f"event-{number}-{event.event}", [event]))
    if intake:
        entries.append(_event("intake", intake))
    kinds = [*deliveries, *(mail.kind for mail in details.emails), *(row.kind for row in details.queue)]
    entries += [_delivery(kind, deliveries.get(kind, []), details) for kind in dict.fromkeys(kinds)]
    # If entries have the same time, the one that was added last is the newest.
    entries.sort(key=lambda entry: entry.at)
    return entries[::-1]


def _event(entry_id: str, events: list[TimelineEvent]) -> Activity:
    first = events[0]
    is_told = len(events) == 1 and (first.event in _PLAIN or not first.details)
    history = () if is_told else tuple(events)
    return Activity(id=entry_id, at=first.at, title=first.title, tone=first.tone, history=history)


def _delivery(kind: str, events: Iterable[TimelineEvent], details: LeadDetail) -> Activity:
    """Return the entry of one delivery.

    The state is that of the delivery's newest queue row. If there is no such row, or it is resolved, or the
    email came back and is not being retried, the state is that of the email, if there is one.
    """
    history = tuple(events)
    email = next((mail for mail in details.emails if mail.kind == kind), None)
    rows = sorted((row for row in details.queue if row.kind == kind), key=lambda row: row.last_failed_at)
    queue = rows[-1] if rows else None
    source = queue if queue and (email is None or queue.state != "resolved") else email
    if email and email.state in _CAME_BACK and queue and queue.state not in ("waiting", "replaying"):
        source = email
    times = [event.at for event in history if not event.planned]
    times += [email.updated_at] if email and not times else []
    times += [queue.last_failed_at] if queue and not times else []
    return Activity(
        id=f"delivery-{kind}",
        at=max(times) if times else history[-1].at,
        history=history,
        kind=kind,
        state=source.state if source else "unknown",
        reason=source.reason if source else None,
        email=email,
        queue=queue,
    )
