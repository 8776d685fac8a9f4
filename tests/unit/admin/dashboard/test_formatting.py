"""The words of the pages: every event has one, spans and counts read well, and times are marked up."""

from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest

from contracts.audit import AuditEvent
from contracts.failures import Kind, Stage
from contracts.leads import LeadStatus
from services.admin.dashboard import formatting


def test_every_event_kind_and_status_has_a_word_and_every_event_a_tone() -> None:
    assert set(formatting.EVENTS) == set(AuditEvent)
    assert set(formatting.KINDS) == set(get_args(Kind))
    assert {*formatting.STATUSES, "erased"} == set(LeadStatus)
    assert {*AuditEvent, *LeadStatus} <= set(formatting.TONES)
    assert set(get_args(Stage)) <= set(formatting.STAGES)
    assert set(formatting.STATES) <= set(formatting.TONES)
    assert set(LeadStatus) <= set(formatting.STATES)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, formatting.NOT_KNOWN), (0.0421, "42 ms"), (1.0, "1 s"), (9.96, "10 s"), (59, "59 s"),
     (60, "1 min"), (3725, "1 h 2 min"), (90_000, "1 d 1 h")],
)  # fmt: skip
def test_a_span_is_told_in_its_two_largest_units(seconds: float | None, said: str) -> None:
    assert formatting.span(seconds) == said


def test_a_time_is_marked_up_in_utc_for_the_browser_to_turn() -> None:
    at = datetime(2026, 11, 23, 10, 30, 45, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert formatting.when(at) == '<time datetime="2026-11-23T05:00:45.000+00:00">2026-11-23 05:00 UTC</time>'
    assert "never" in formatting.when(None)
    assert formatting.when(at.astimezone(UTC)) == formatting.when(at)


def test_details_leave_out_what_is_empty_and_write_lists_as_words() -> None:
    given = {"retry_after": 0, "fields": ["name", "email"], "reason": "", "more": None, "final": False}
    assert formatting.details(given) == [("retry after", "0"), ("fields", "name, email"), ("final", "no")]


def test_a_reason_is_a_heading_in_words_or_stays_what_it_is() -> None:
    assert formatting.why("smtp 452 4.2.2 at rcpt") == "The mailbox is full"
    assert formatting.why("something new") == "something new"
    assert formatting.stage_name("persister") == "Storage"
    assert formatting.state_name("dead") == "given up"
    assert formatting.state_name("received") == "New"


def test_a_schedule_and_a_refusal_are_told_in_words() -> None:
    assert formatting.schedule_name("*/5 * * * *") == "Every 5 minutes"
    assert formatting.schedule_name("7 3 * * *") == "Every day at 03:07 UTC"
    assert formatting.schedule_name("7 3 * * 1") == "7 3 * * 1"
    assert formatting.title(404) == "Not found"
    assert formatting.title(405) == "Method Not Allowed"
