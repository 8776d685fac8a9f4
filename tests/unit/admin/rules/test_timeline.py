"""A lead's timeline: the sentences, their order and the times between them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.audit import AuditEvent
from services.admin.rules.event_sentences import TITLES
from services.admin.rules.timeline import build
from services.admin.schemas.leads import TimelineEvent
from services.admin.texts import viewed_by
from tests.support.web.texts import BRACKETED, CLOSE, OPEN, outside_of_brackets

START = datetime(2024, 1, 3, 10, 30, tzinfo=UTC)
GREYLISTED = "temporarily deferred by the mail server (smtp 451 4.7.1)"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def entry(event: str, seconds: float, actor: str = "persister", **details: Any) -> dict[str, Any]:
    return {"event": event, "actor": actor, "created_at_utc": after(seconds), "details_json": details}


def received(**details: Any) -> dict[str, Any]:
    position = {"site": "default", "topic": "leads.received.v1", "partition": 3, "offset": 17}
    return entry("lead.received", 0, "default", **(position | details))


def queue_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "stage": "notifier",
        "kind": "welcome",
        "state": "waiting",
        "attempts": 1,
        "next_attempt_at": after(900),
        "requested_at": None,
        "requested_by": None,
        "origin_topic": "leads.received.v1",
        "origin_timestamp": after(0.01),
    } | changes


def mail(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "welcome",
        "state": "sent",
        "attempts": 1,
        "smtp_answer": None,
        "updated_at": after(2),
    } | changes


LEAD: dict[str, Any] = {"site": "default", "created_at_utc": START, "stored_at": after(0.25)}


def titles(events: list[TimelineEvent]) -> list[str]:
    return [event.title for event in events]


def test_the_title_has_the_name_of_the_site() -> None:
    events = build(LEAD, [received()], [], [], {"default": "Studio Nord"}.__getitem__)
    assert titles(events)[0] == "Received from Studio Nord."


def test_events_of_a_lead_without_failures_are_in_order() -> None:
    entries = [
        entry("email.sent", 1.25, "notifier", kind="welcome", attempt=1, code=250),
        received(published_at=after(0.05).isoformat()),
    ]
    events = build(LEAD, entries, [mail(smtp_answer="250 2.0.0 Ok: queued as X")], [])
    assert titles(events) == [
        "Received from default.",
        "Queued for processing.",
        "Stored.",
        "The confirmation email was sent (the mail server answered 250).",
    ]
    assert [event.since_previous_ms for event in events] == [0, 50, 200, 1000]
    assert events[-1].details["smtp_answer"] == "250 2.0.0 Ok: queued as X"
    assert events[1].details == {"topic": "leads.received.v1", "partition": 3, "offset": 17}


def test_a_spooled_lead_shows_how_long_it_was_spooled() -> None:
    events = build(
        LEAD | {"stored_at": after(61)}, [received(spooled=True, published_at=after(60).isoformat())], [], []
    )
    assert events[0].event == "lead.spooled"
    assert (events[1].event, events[1].since_previous_ms) == ("lead.published", 60_000)


def test_failures_and_retries_name_actor_and_reason() -> None:
    failure = {
        "kind": "welcome",
        "reason": "smtp 451 4.7.1",
        "topic": "leads.received.v1",
        "partition": 3,
        "offset": 17,
    }
    entries = [
        received(),
        entry("lead.parked", 2, "notifier", final=False, **failure),
        entry("lead.replayed", 60, "flusher", cause="automatic", attempts=1, **failure),
        entry("lead.dead", 70, "flusher", final=True, **failure),
        entry("lead.replayed", 900, "ann", cause="requested", attempts=1, **failure),
    ]
    assert titles(build(LEAD, entries, [], []))[3:] == [
        f"The confirmation email failed: {GREYLISTED}. It is retried automatically.",
        "Retried the confirmation email automatically (retry 1 of 3).",
        f"The confirmation email failed for good: {GREYLISTED}. It is not retried automatically.",
        "Retried the confirmation email: requested by ann.",
    ]


@pytest.mark.parametrize(
    ("row", "event", "title"),
    [
        (
            queue_row(),
            "retry.planned",
            "Next retry of the confirmation email, soon after this time; 2 retries left.",
        ),
        (
            queue_row(attempts=2),
            "retry.planned",
            "Next retry of the confirmation email, soon after this time; 1 retry left.",
        ),
        (
            queue_row(requested_at=after(5), requested_by="ann"),
            "retry.requested",
            "ann requested a retry of the confirmation email.",
        ),
        (
            queue_row(state="replaying"),
            "replay.awaited",
            "Waiting for the result of the confirmation email. Without a result it is retried.",
        ),
    ],
)
def test_planned_events_come_last(row: dict[str, Any], event: str, title: str) -> None:
    late = entry("lead.status_changed", 10_000, "ann", **{"from": "received", "to": "won"})
    events = build(LEAD, [received(), late], [], [row])
    assert (events[-1].event, events[-1].title, events[-1].planned) == (event, title, True)
    assert not events[-2].planned


@pytest.mark.parametrize("state", ["dead", "resolved", "archived"])
def test_a_closed_queue_row_has_no_planned_event(state: str) -> None:
    row = queue_row(state=state, next_attempt_at=None)
    assert not [event for event in build(LEAD, [received()], [], [row]) if event.planned]


def test_a_lead_that_is_not_stored_has_events_up_to_its_failure() -> None:
    row = queue_row(stage="persister", kind="store", state="dead", next_attempt_at=None)
    failure = entry(
        "lead.parked",
        3,
        kind="store",
        reason="bug: X",
        final=False,
        topic="p.leads.received.v1",
        partition=1,
        offset=9,
    )
    assert [event.event for event in build(None, [failure], [], [row])] == [
        "lead.accepted",
        "lead.published",
        "lead.parked",
    ]


def test_a_lead_stored_by_a_retry_has_its_first_record_s_offset() -> None:
    failure = entry(
        "lead.parked", 3, kind="store", reason="x", topic="leads.received.v1", partition=1, offset=9
    )
    retried = received(topic="leads.retry.persister.v1", partition=0, offset=2)
    published = next(
        event for event in build(LEAD, [failure, retried], [], []) if event.event == "lead.published"
    )
    assert (published.details["partition"], published.details["offset"]) == (1, 9)


def test_an_email_that_is_being_sent_is_shown() -> None:
    events = build(LEAD, [received()], [mail(state="sending")], [])
    assert events[-1].title == "Sending the confirmation email."


def test_the_smtp_answer_belongs_to_the_last_attempt() -> None:
    entries = [
        entry("email.failed", 1, "notifier", kind="welcome", attempt=1, reason="smtp 451"),
        entry("email.sent", 9, "notifier", kind="welcome", attempt=2, code=250),
    ]
    first, second = build(LEAD, entries, [mail(attempts=2, smtp_answer="250 fine")], [])[-2:]
    assert "smtp_answer" not in first.details
    assert second.details["smtp_answer"] == "250 fine"


def test_a_lead_beyond_a_limit_is_held_with_the_reason() -> None:
    assert "Held: too many leads from one connection." in titles(
        build(LEAD, [received(spam_reasons=["rate_ip"])], [], [])
    )


def test_a_spam_lead_is_stored_as_spam_with_the_reason() -> None:
    assert "Stored as spam: a hidden field was filled in." in titles(
        build(LEAD, [received(spam_reasons=["honeypot"])], [], [])
    )


def test_clock_differences_never_make_a_negative_duration() -> None:
    events = build(LEAD | {"stored_at": after(-5)}, [received(published_at=after(-2).isoformat())], [], [])
    assert min(event.since_previous_ms for event in events) == 0


def test_an_event_without_a_sentence_is_shown_by_its_name() -> None:
    assert titles(build(None, [entry("lead.sung_about", 1)], [], [])) == ["Lead sung about."]


@pytest.mark.parametrize(
    ("event", "details"),
    [
        ("lead.parked", {"kind": "welcome", "final": True, "reason": "smtp 550"}),
        ("email.sent", {"kind": "welcome", "code": 250}),
        ("lead.replayed", {"kind": "store", "cause": "requested", "comment": "again"}),
        ("lead.replayed", {"kind": "pull", "cause": "overdue"}),
        ("lead.replayed", {"kind": "audit", "attempts": 2}),
        ("lead.edited", {"fields": ["email", "notes"]}),
        ("lead.status_changed", {"from": "received", "to": "won"}),
    ],
)
def test_a_sentence_is_one_text_of_the_catalogue(event: str, details: dict[str, Any]) -> None:
    with viewed_by(BRACKETED):
        title = titles(build(None, [entry(event, 1, "ann", **details)], [], []))[0]
    assert outside_of_brackets(title) == ""
    # Each value is data, or has brackets of its own; no value is a part of the sentence.
    values = re.findall(f"{OPEN}([^{OPEN}{CLOSE}]*){CLOSE}", title[1:-1])
    assert not [value for value in values if value.startswith((" ", ",", ":", "("))]


def test_every_event_of_a_lead_has_a_sentence() -> None:
    not_shown = {AuditEvent.LEAD_RECEIVED, AuditEvent.LEAD_REJECTED}
    of_leads = {event for event in AuditEvent if event.startswith(("lead.", "email."))}
    assert of_leads - not_shown <= set(TITLES)
