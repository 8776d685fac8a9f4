"""The schedule and the way of a row, over a clock and a chance of the test's own."""

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts import headers as h
from contracts import topics
from contracts.failures import LeadDead, LeadFailed
from services.flusher.retries.retry_rules import (
    JITTER,
    OVERDUE_AFTER,
    WAITS,
    Row,
    after_failure,
    attempts_after_send,
    cause_of,
    dead_letter_of,
    due_at,
    replay_record,
    requeue,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
RNG = random.Random(1)


def row(**changes: Any) -> Row:
    fields: dict[str, Any] = {
        "id": uuid4(),
        "stage": "notifier",
        "kind": "welcome",
        "lead_id": uuid4(),
        "state": "waiting",
        "final": False,
        "by_origin": False,
        "replay_lead_id": None,
        "reason": "smtp 451 4.7.1",
        "error": "runtime.failures.RetryableError",
        "attempts": 0,
        "requested_at": None,
        "requested_by": None,
        "origin_topic": "leads.received.v1",
        "origin_partition": 2,
        "origin_offset": 40,
        "origin_timestamp": NOW - timedelta(minutes=3, microseconds=-789_000),
        "origin_group": "fastcore.notifier",
        "record_key": b"key",
        "payload": b'{"lead_id": "x"}',
        "headers": {"correlation_id": "req-1"},
    }
    return Row(**(fields | changes))


@given(st.integers(0, 2), st.integers())
def test_a_retry_is_never_early_and_at_most_a_fifth_late(attempts: int, seed: int) -> None:
    late = due_at(attempts, NOW, random.Random(seed)) - NOW
    assert WAITS[attempts] <= late <= WAITS[attempts] * (1 + JITTER)


def test_the_waits_are_the_next_tick_a_quarter_of_an_hour_and_an_hour() -> None:
    assert [wait.total_seconds() / 60 for wait in WAITS] == [0, 15, 60]


@pytest.mark.parametrize(
    ("state", "attempts", "final", "place"),
    [
        (None, 0, False, ("waiting", 0)),
        (None, 0, True, ("dead", 0)),
        ("waiting", 2, False, None),
        ("waiting", 3, False, None),
        ("waiting", 1, True, ("dead", 1)),
        ("replaying", 0, False, ("waiting", 0)),
        ("replaying", 2, False, ("waiting", 2)),
        ("replaying", 3, False, ("dead", 3)),
        ("replaying", 1, True, ("dead", 1)),
        ("resolved", 2, False, ("waiting", 0)),
        ("resolved", 2, True, ("dead", 0)),
        ("dead", 3, False, None),
        ("dead", 3, True, None),
        ("archived", 1, False, None),
        ("archived", 1, True, None),
    ],
)
def test_what_a_failure_makes_of_a_row(
    state: str | None, attempts: int, final: bool, place: tuple[str, int] | None
) -> None:
    before = row(state=state, attempts=attempts) if state else None
    after = after_failure(before, final=final, now=NOW, rng=RNG)
    assert ((after.state, after.attempts) if after else None) == place
    if after:
        assert (after.next_attempt_at is not None) == (after.state == "waiting")


@pytest.mark.parametrize(
    ("state", "requested", "cause", "attempts"),
    [
        ("waiting", None, "automatic", 2),
        ("waiting", NOW, "requested", 1),
        ("replaying", None, "overdue", 1),
    ],
)
def test_only_an_automatic_retry_is_counted(
    state: str, requested: datetime | None, cause: str, attempts: int
) -> None:
    sent = row(state=state, attempts=1, requested_at=requested)
    assert (cause_of(sent), attempts_after_send(sent)) == (cause, attempts)


class WayOfARow(RuleBasedStateMachine):
    """Any order of failures, ticks, requests, successes and restarts, with a monotonic clock."""

    @initialize()
    def begin(self) -> None:
        self.now, self.row, self.due = NOW, None, None
        self.automatic = 0
        self.sent_at: datetime | None = None

    row: Row | None
    due: datetime | None

    def fail(self, *, final: bool) -> None:
        was = self.row
        place = after_failure(was, final=final, now=self.now, rng=random.Random(self.automatic))
        if place is None:
            return
        if was is None or was.state == "resolved":
            self.automatic = 0
        if place.state == "dead":
            assert final or self.automatic == len(WAITS)  # dead only after all retries
        if place.state == "waiting" and was and was.state == "replaying":
            assert place.next_attempt_at
            assert place.next_attempt_at - self.now >= WAITS[place.attempts]
        self.row = replace(
            was or row(), state=place.state, attempts=place.attempts, requested_at=None, final=final
        )
        self.due = place.next_attempt_at

    @rule(minutes=st.integers(0, 90))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(final=st.booleans())
    def a_failure_comes(self, final: bool) -> None:
        self.fail(final=final)

    @rule()
    def tick(self) -> None:
        if self.row and self.due and self.due <= self.now:
            self.send()

    @precondition(lambda self: self.row and self.row.state == "waiting")
    @rule()
    def request_retry(self) -> None:
        assert self.row
        self.row = replace(self.row, requested_at=self.now)
        before = self.automatic
        self.send()
        assert self.automatic == before

    @precondition(lambda self: self.row and self.row.state == "replaying")
    @rule()
    def it_succeeds(self) -> None:
        assert self.row
        self.row, self.due = replace(self.row, state="resolved"), None

    def send(self) -> None:
        assert self.row
        self.automatic += cause_of(self.row) == "automatic"
        attempts = attempts_after_send(self.row)
        self.row = replace(self.row, state="replaying", attempts=attempts, requested_at=None)
        self.due = self.now + OVERDUE_AFTER

    @invariant()
    def never_a_fourth(self) -> None:
        if self.row:
            assert self.automatic <= len(WAITS)
            assert self.row.attempts == self.automatic or self.row.state in ("resolved", "dead")

    @invariant()
    def never_lost(self) -> None:
        # Only the row survives a restart. While it is open, it has the time of its next send, within
        # what the schedule allows, so the next tick after that moment finds it.
        if self.row and self.row.state in ("waiting", "replaying"):
            assert self.due
            assert self.due - self.now <= max(OVERDUE_AFTER, WAITS[-1] * (1 + JITTER))


TestWayOfARow = WayOfARow.TestCase


def sent_headers(record_headers: h.Headers) -> Mapping[str, str]:
    return {name: value.decode() for name, value in record_headers}


def test_replay_sends_original_bytes_to_the_failed_stage_only() -> None:
    waiting, event_id = row(), uuid4()
    for stage, kind, topic in (
        ("notifier", "welcome", topics.RETRY_NOTIFIER),
        ("persister", "store", topics.RETRY_PERSISTER),
    ):
        record = replay_record(row(id=waiting.id, stage=stage, kind=kind), event_id, NOW)
        assert (record.topic, record.key, record.value) == (topic.name, b"key", waiting.payload)
        failed = LeadFailed.from_headers(record.headers)
        assert (failed.event_id, failed.queue_id, failed.attempts) == (event_id, waiting.id, 1)
        assert (failed.stage, failed.kind, failed.origin) == (stage, kind, waiting.origin)
        assert failed.occurred_at == NOW
        assert sent_headers(record.headers)["correlation_id"] == "req-1"


def test_what_is_named_by_its_origin_goes_back_there_as_it_is() -> None:
    record = replay_record(
        row(stage="persister", kind="store", by_origin=True, payload=b"\xff"), uuid4(), NOW
    )
    assert (record.topic, record.key, record.value) == (topics.RECEIVED.name, b"key", b"\xff")


@pytest.mark.parametrize("by_origin", [True, False])
def test_regression_an_audit_record_goes_back_to_its_own_topic(by_origin: bool) -> None:
    record = replay_record(
        row(stage="persister", kind="audit", by_origin=by_origin, payload=b"\xff"), uuid4(), NOW
    )
    assert (record.topic, record.key, record.value) == (topics.AUDIT.name, b"key", b"\xff")


def test_a_conflict_goes_out_as_the_same_new_lead_each_time() -> None:
    new = uuid4()
    lead = {
        "lead_id": str(uuid4()),
        "event_id": str(uuid4()),
        "request_id": "r",
        "message": "café \u2028",
        "n": 1.5,
    }
    conflict = row(
        stage="persister",
        kind="store",
        by_origin=True,
        replay_lead_id=new,
        payload=json.dumps(lead).encode(),
        headers={},
    )
    first, second = replay_record(conflict, uuid4(), NOW), replay_record(conflict, uuid4(), NOW)
    assert first.value == second.value
    assert (first.topic, first.key) == (topics.RECEIVED.name, str(new).encode())
    said = json.loads(first.value or b"")
    assert (said["lead_id"], said["request_id"]) == (str(new), f"conflict-{conflict.id}")
    assert UUID(said["event_id"]) != UUID(lead["event_id"])  # type: ignore[arg-type]
    assert {name: said[name] for name in ("message", "n")} == {"message": "café \u2028", "n": 1.5}


def test_a_dead_letter_is_the_original_bytes_and_why() -> None:
    dead = row(state="dead", attempts=3).failure(uuid4(), NOW).model_copy(update={"attempts": 3})
    letter = dead_letter_of(dead, b"k", b"\x00", {"content-type": "application/json"})
    assert (letter.topic, letter.key, letter.value) == (topics.DEAD.name, b"k", b"\x00")
    assert LeadDead.from_headers(letter.headers).model_dump() == dead.model_dump()
    assert sent_headers(letter.headers)["content-type"] == "application/json"


@pytest.mark.parametrize("state", ["dead", "archived"])
def test_a_replay_gives_what_had_come_to_its_end_three_new_retries(state: str) -> None:
    again = requeue(row(state=state, attempts=3, final=True), "ann", "repaired", NOW)
    assert again is not None
    assert (again.attempts, again.final, again.requested_by) == (0, False, "ann")
    assert (cause_of(again), attempts_after_send(again)) == ("requested", 0)


def test_a_replay_uses_up_no_retry_of_a_waiting_row() -> None:
    again = requeue(row(attempts=2), "ann", None, NOW)
    assert again is not None
    assert attempts_after_send(again) == 2


@pytest.mark.parametrize(
    "changes",
    [{"state": "resolved"}, {"state": "replaying"}, {"state": "dead", "payload": None}],
)
def test_a_replay_passes_over_what_there_is_nothing_to_send_of(changes: dict[str, Any]) -> None:
    assert requeue(row(**changes), "ann", None, NOW) is None
