"""A lead's activity: one entry for each note, event and delivery, newest first."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.admin.rules.activity import Activity, build_activity
from services.admin.schemas.leads import Email, LeadDetail, LeadNote, QueueItem, TimelineEvent, Tone

START = datetime(2024, 1, 3, 10, 30, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def event(
    name: str, seconds: float, tone: Tone = "neutral", *, planned: bool = False, **details: Any
) -> TimelineEvent:
    return TimelineEvent(
        at=after(seconds), since_previous_ms=0, event=name, title=f"{name}.", actor=None, tone=tone,
        planned=planned, details=details,
    )  # fmt: skip


def email(state: str, kind: str = "welcome") -> Email:
    return Email(
        kind=kind, state=state, attempts=1, recipient="a@example.com", message_id="m", reason="smtp 550",
        smtp_answer=None, created_at=START, updated_at=after(9), sent_at=None,
    )  # fmt: skip


def queue_item(state: str, kind: str = "welcome", seconds: float = 5) -> QueueItem:
    return QueueItem(
        id=uuid4(), stage="notifier", kind=kind, lead_id=None, state=state, final=False, reason="smtp 451",
        error="", attempts=1, next_attempt_at=None, requested_at=None, requested_by=None, last_sent_at=None,
        origin_topic="t", origin_partition=0, origin_offset=0, made_by="flusher", first_failed_at=START,
        last_failed_at=after(seconds),
    )  # fmt: skip


def note(seconds: float, number: int = 1) -> LeadNote:
    return LeadNote(
        id=UUID(int=number), author="ann", text="Hi", created_at=after(seconds), updated_at=after(seconds)
    )


def build(
    *events: TimelineEvent, emails: tuple[Email, ...] = (), queue: tuple[QueueItem, ...] = (),
    notes: tuple[LeadNote, ...] = (),
) -> list[Activity]:  # fmt: skip
    return build_activity(
        LeadDetail(lead=None, notes=[*notes], emails=[*emails], queue=[*queue], timeline=[*events], audit=[])
    )


def ids(entries: list[Activity]) -> list[str]:
    return [entry.id for entry in entries]


def test_notes_and_events_are_newest_first_and_keep_their_ids() -> None:
    events = [event("lead.accepted", 0), event("lead.status_changed", 10), event("lead.exported", 30)]
    before = build(*events[:2], notes=(note(20),))
    entries = build(*events, notes=(note(20),))
    assert ids(entries) == ["event-2-lead.exported", *ids(before)]
    assert ids(before) == [f"note-{UUID(int=1)}", "event-1-lead.status_changed", "intake"]


def test_the_intake_is_one_entry_unless_the_lead_is_spam() -> None:
    intake = [
        event("lead.accepted", 0),
        event("lead.published", 1, topic="t"),
        event("lead.stored", 2, "good"),
    ]
    (entry,) = build(*intake)
    assert (entry.title, entry.history) == ("lead.accepted.", tuple(intake))
    spam = event("lead.stored", 2, "bad", spam_reasons=["honeypot"])
    assert [each.title for each in build(*intake[:2], spam)] == ["lead.stored.", "lead.accepted."]


def test_a_failure_with_its_retries_is_one_entry_with_the_current_state() -> None:
    events = [
        event("lead.parked", 2, kind="welcome"),
        event("lead.replayed", 60, kind="welcome"),
        event("lead.parked", 61, kind="welcome"),
        event("retry.planned", 900, kind="welcome", planned=True),
    ]
    (entry,) = build(*events, emails=(email("waiting"),), queue=(queue_item("waiting"),))
    assert (entry.kind, entry.state, entry.reason) == ("welcome", "waiting", "smtp 451")
    assert (entry.at, len(entry.history)) == (after(61), 4)
    archived = build(emails=(email("waiting"),), queue=(queue_item("archived"),))
    assert [each.state for each in archived] == ["archived"]
    resolved = build(emails=(email("sent"),), queue=(queue_item("resolved"),))
    assert [(each.state, each.at) for each in resolved] == [("sent", after(9))]


@pytest.mark.parametrize(("row", "shown"), [("dead", "bounced"), ("replaying", "replaying")])
def test_an_email_that_came_back_says_so_until_it_is_retried(row: str, shown: str) -> None:
    (entry,) = build(emails=(email("bounced"),), queue=(queue_item(row),))
    assert entry.state == shown


def test_a_failure_without_an_email_has_the_state_of_its_last_row() -> None:
    rows = (queue_item("dead", "store", seconds=8), queue_item("resolved", "store", seconds=4))
    (entry,) = build(queue=rows)
    assert (entry.kind, entry.state, entry.at, entry.email) == ("store", "dead", after(8), None)


def test_each_email_is_one_entry() -> None:
    entries = build(
        event("email.sent", 3, kind="welcome"), event("email.sent", 4, kind="admin_alert"),
        emails=(email("sent"), email("sent", "admin_alert")),
    )  # fmt: skip
    assert ids(entries) == ["delivery-admin_alert", "delivery-welcome"]


def test_what_a_sentence_or_a_note_contains_is_not_repeated() -> None:
    entries = build(
        event("lead.status_changed", 1, to="won"), event("lead.note_added", 2), event("lead.note_edited", 3),
        event("lead.note_deleted", 4), event("lead.conflict", 5, topic="t"),
    )  # fmt: skip
    assert [(each.title, len(each.history)) for each in entries] == [
        ("lead.conflict.", 1),
        ("lead.note_deleted.", 0),
        ("lead.status_changed.", 0),
    ]
