"""A lead's timeline: what a person reads of its way, in order, with the time between."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.audit import AuditEvent
from services.admin.rules.timeline import WORDS, build
from services.admin.schemas.leads import TimelineEvent

START = datetime(2024, 1, 3, 10, 30, tzinfo=UTC)
GREYLISTED = "the mail server asks us to come again later (smtp 451 4.7.1)"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def entry(event: str, seconds: float, actor: str = "persister", **details: Any) -> dict[str, Any]:
    return {"event": event, "actor": actor, "created_at_utc": after(seconds), "details_json": details}


def received(**details: Any) -> dict[str, Any]:
    place = {"site": "default", "topic": "leads.received.v1", "partition": 3, "offset": 17}
    return entry("lead.received", 0, "default", **(place | details))


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


def test_a_lead_that_had_no_trouble_is_told_in_order_with_the_time_between() -> None:
    entries = [
        entry("email.sent", 1.25, "notifier", kind="welcome", attempt=1, code=250),
        received(published_at=after(0.05).isoformat()),
    ]
    events = build(LEAD, entries, [mail(smtp_answer="250 2.0.0 Ok: queued as X")], [])
    assert titles(events) == [
        "Accepted from the site 'default'.",
        "On its way (Kafka partition 3, offset 17).",
        "Stored.",
        "The welcome mail was sent (the mail server answered 250).",
    ]
    assert [event.since_previous_ms for event in events] == [0, 50, 200, 1000]
    assert events[-1].details["smtp_answer"] == "250 2.0.0 Ok: queued as X"
    assert events[1].details == {"topic": "leads.received.v1", "partition": 3, "offset": 17}


def test_a_lead_that_waited_on_the_gateway_s_disk_says_so_and_for_how_long() -> None:
    events = build(
        LEAD | {"stored_at": after(61)}, [received(spooled=True, published_at=after(60).isoformat())], [], []
    )
    assert events[0].event == "lead.spooled"
    assert (events[1].event, events[1].since_previous_ms) == ("lead.published", 60_000)


def test_failure_retry_and_replay_say_who_and_why() -> None:
    parked = {
        "kind": "welcome",
        "reason": "smtp 451 4.7.1",
        "topic": "leads.received.v1",
        "partition": 3,
        "offset": 17,
    }
    entries = [
        received(),
        entry("lead.parked", 2, "notifier", final=False, **parked),
        entry("lead.replayed", 60, "flusher", cause="automatic", attempts=1, **parked),
        entry("lead.dead", 70, "flusher", final=True, **parked),
        entry("lead.replayed", 900, "ann", cause="requested", attempts=1, **parked),
    ]
    assert titles(build(LEAD, entries, [], []))[3:] == [
        f"Trouble with the welcome mail: {GREYLISTED}. It is tried again.",
        "Tried the welcome mail again by itself (retry 1 of 3).",
        f"Gave up on the welcome mail: {GREYLISTED}. A person has to decide.",
        "Tried the welcome mail again: ann asked for it.",
    ]


@pytest.mark.parametrize(
    ("row", "event", "title"),
    [
        (
            queue_row(),
            "retry.planned",
            "Next try of the welcome mail, by the queue's first run after this; 2 tries are left.",
        ),
        (
            queue_row(attempts=2),
            "retry.planned",
            "Next try of the welcome mail, by the queue's first run after this; 1 try is left.",
        ),
        (
            queue_row(requested_at=after(5), requested_by="ann"),
            "retry.requested",
            "ann asked for the welcome mail to be tried again now.",
        ),
        (
            queue_row(state="replaying"),
            "replay.awaited",
            "Waiting for the outcome of the welcome mail; without one it is tried again.",
        ),
    ],
)
def test_what_comes_next_stands_last_as_planned(row: dict[str, Any], event: str, title: str) -> None:
    late = entry("lead.status_changed", 10_000, "ann", **{"from": "received", "to": "won"})
    events = build(LEAD, [received(), late], [], [row])
    assert (events[-1].event, events[-1].title, events[-1].planned) == (event, title, True)
    assert not events[-2].planned


@pytest.mark.parametrize("state", ["dead", "resolved", "archived"])
def test_a_row_that_waits_for_nothing_plans_nothing(state: str) -> None:
    row = queue_row(state=state, next_attempt_at=None)
    assert not [event for event in build(LEAD, [received()], [], [row]) if event.planned]


def test_a_lead_that_could_not_be_stored_has_its_way_up_to_there() -> None:
    row = queue_row(stage="persister", kind="store", state="dead", next_attempt_at=None)
    parked = entry(
        "lead.parked",
        3,
        kind="store",
        reason="bug: X",
        final=False,
        topic="p.leads.received.v1",
        partition=1,
        offset=9,
    )
    assert [event.event for event in build(None, [parked], [], [row])] == [
        "lead.accepted",
        "lead.published",
        "lead.parked",
    ]


def test_a_lead_stored_by_a_retry_is_shown_at_its_first_place() -> None:
    parked = entry(
        "lead.parked", 3, kind="store", reason="x", topic="leads.received.v1", partition=1, offset=9
    )
    retried = received(topic="leads.retry.persister.v1", partition=0, offset=2)
    published = next(
        event for event in build(LEAD, [parked, retried], [], []) if event.event == "lead.published"
    )
    assert (published.details["partition"], published.details["offset"]) == (1, 9)


def test_a_mail_in_hand_is_shown() -> None:
    events = build(LEAD, [received()], [mail(state="sending")], [])
    assert events[-1].title == "Sending the welcome mail now."


def test_the_mail_server_s_words_stand_with_the_try_they_belong_to() -> None:
    entries = [
        entry("email.failed", 1, "notifier", kind="welcome", attempt=1, reason="smtp 451"),
        entry("email.sent", 9, "notifier", kind="welcome", attempt=2, code=250),
    ]
    first, second = build(LEAD, entries, [mail(attempts=2, smtp_answer="250 fine")], [])[-2:]
    assert "smtp_answer" not in first.details
    assert second.details["smtp_answer"] == "250 fine"


def test_spam_is_said_to_be_spam() -> None:
    assert "Stored as spam: a field was filled in that people do not see." in titles(
        build(LEAD, [received(spam_reasons=["honeypot"])], [], [])
    )


def test_clocks_that_differ_never_make_a_negative_wait() -> None:
    events = build(LEAD | {"stored_at": after(-5)}, [received(published_at=after(-2).isoformat())], [], [])
    assert min(event.since_previous_ms for event in events) == 0


def test_an_event_that_has_no_words_yet_is_shown_all_the_same() -> None:
    assert titles(build(None, [entry("lead.sung_about", 1)], [], [])) == ["Lead sung about."]


def test_every_event_of_a_lead_has_its_words() -> None:
    without = {AuditEvent.LEAD_RECEIVED, AuditEvent.LEAD_REJECTED}
    of_leads = {event for event in AuditEvent if event.startswith(("lead.", "email."))}
    assert of_leads - without <= set(WORDS)
