"""What is done with a delivery, given its row and the record in hand."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.failures import Kind, legacy_failure_event_id
from contracts.leads import LeadReceived
from services.notifier import batch_plan
from services.notifier.batch_plan import Delivery, Row, Step
from services.notifier.welcome_limits import WelcomeCounts
from tests.support.factories import lead

US, THEM = uuid4(), uuid4()
RECEIVED, RETRY = "p.leads.received.v1", "p.leads.retry.notifier.v1"


@dataclass
class FakeRecord:
    topic: str = RECEIVED
    partition: int = 0
    offset: int = 7
    timestamp: int = 1000
    value: bytes = b""
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    key: bytes | None = None


def delivery(kind: Kind = "welcome", *, retry: bool = False, given: LeadReceived | None = None) -> Delivery:
    topic, headers = (RETRY, [("fastcore-kind", kind.encode())]) if retry else (RECEIVED, [])
    return Delivery(FakeRecord(topic, headers=headers), given or lead(), kind, retry)


def row(state: str, owner: UUID | None = None, lease: float = 0.0, settled_by: UUID | None = None) -> Row:
    return Row(state, owner, lease, settled_by)


@pytest.mark.parametrize("state", ["sent", "waiting", "dead", "unknown", "suppressed"])
def test_a_redelivered_lead_changes_nothing_that_is_settled(state: str) -> None:
    assert batch_plan.decide(delivery(), row(state), None, US, ()) is Step.SKIP


@pytest.mark.parametrize("state", ["waiting", "dead", "unknown", "suppressed"])
def test_a_retry_takes_back_what_was_not_sent(state: str) -> None:
    assert batch_plan.decide(delivery(retry=True), row(state), None, US, ()) is Step.TAKE
    assert batch_plan.decide(delivery(retry=True), row(state), "erased", US, ()) is Step.SUPPRESS


def test_a_retry_of_what_was_sent_is_only_over() -> None:
    assert batch_plan.decide(delivery(retry=True), row("sent"), None, US, ()) is Step.RESOLVE


@pytest.mark.parametrize("state", ["waiting", "dead", "unknown", "suppressed", "sent"])
def test_a_redelivered_retry_changes_nothing_that_it_settled_itself(state: str) -> None:
    again = delivery(retry=True)
    assert batch_plan.decide(again, row(state, settled_by=again.record_id), None, US, ()) is Step.SKIP


@pytest.mark.parametrize("state", ["waiting", "dead", "unknown", "suppressed", "sent"])
def test_regression_a_redelivered_retry_that_an_earlier_version_settled_changes_nothing(state: str) -> None:
    # A welcome that was unknown was mailed again after the upgrade.
    again = delivery(retry=True)
    settled_by = legacy_failure_event_id(again.record, "notifier", "welcome")
    assert batch_plan.decide(again, row(state, settled_by=settled_by), None, US, ()) is Step.SKIP


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize(
    ("held", "step"),
    [
        (row("reserved", US, 9), Step.TAKE),
        (row("reserved", US, -1), Step.TAKE),
        (row("reserved", THEM, 9), Step.WAIT),
        (row("reserved", THEM, -1), Step.TAKE),
        (row("sending", THEM, 9), Step.WAIT),
        (row("sending", THEM, -1), Step.GIVE_UP),
        (row("sending", US, 9), Step.WAIT),
        (row("sending", US, -1), Step.GIVE_UP),
    ],
)
def test_a_lease_says_who_may_go_on(retry: bool, held: Row, step: Step) -> None:
    assert batch_plan.decide(delivery(retry=retry), held, None, US, ()) is step


@pytest.mark.parametrize("state", ["reserved", "sending"])
def test_a_mail_in_our_own_hand_is_gone_on_with(state: str) -> None:
    mine = delivery()
    assert batch_plan.decide(mine, row(state, US, -1), "erased", US, {mine.key}) is Step.RESUME


def test_a_mail_in_hand_that_another_took_over_is_not_ours() -> None:
    mine = delivery()
    assert batch_plan.decide(mine, row("sending", THEM, 9), None, US, {mine.key}) is Step.WAIT


@pytest.mark.parametrize(
    ("reasons", "status", "why"),
    [
        ((), None, None),
        (("honeypot",), None, "spam"),
        (("honeypot",), "received", None),
        ((), "spam", "spam"),
        ((), "erased", "erased"),
        ((), "contacted", None),
    ],
)
def test_the_stored_status_goes_before_the_record(
    reasons: tuple[str, ...], status: str | None, why: str | None
) -> None:
    given = lead(spam_reasons=reasons)
    for kind in batch_plan.KINDS:
        assert batch_plan.barred(delivery(kind, given=given), status, (), 3) == why


def test_only_the_welcome_is_bounded_and_a_lead_does_not_count_against_itself() -> None:
    given = lead()
    others = {uuid4(), uuid4()}
    assert batch_plan.barred(delivery(given=given), None, others | {given.lead_id}, 3) is None
    assert batch_plan.barred(delivery(given=given), None, others | {uuid4()}, 3) is not None
    assert batch_plan.barred(delivery("admin_alert", given=given), None, others | {uuid4()}, 3) is None


def record_of(given: LeadReceived, offset: int, kind: Kind | None = None) -> FakeRecord:
    return FakeRecord(
        RETRY if kind else RECEIVED,
        offset=offset,
        value=given.model_dump_json().encode(),
        headers=[("fastcore-kind", kind.encode())] if kind else [],
    )


def arrange(
    records: list[Any], rows: dict[batch_plan.Key, Row] | None = None, limit: int = 3, site_limit: int = 99
) -> batch_plan.Arrangement:
    counts = WelcomeCounts(per_mailbox=limit, per_site_hour=site_limit)
    return batch_plan.arrange(batch_plan.read(records), rows or {}, {}, counts, owner=US, in_hand=())


def test_the_first_record_of_a_lead_asks_for_both_mails_and_the_second_for_none() -> None:
    given = lead()
    first, second = record_of(given, 1), record_of(given, 2)
    made = arrange([first, second])
    assert made.first == {id(first)}
    assert [(each.kind, reason) for each, reason in made.new] == [("welcome", None), ("admin_alert", None)]
    assert made.to_send == [each for each, _ in made.new]
    assert (made.taken, made.resumed, made.resolved) == ([], [], [])


def test_a_retry_that_is_the_first_record_of_its_lead_asks_for_both_mails() -> None:
    made = arrange([record_of(lead(), 1, "admin_alert")])
    assert [each.kind for each, _ in made.new] == ["welcome", "admin_alert"]


def test_a_retry_asks_for_its_own_kind_only() -> None:
    given = lead()
    rows: dict[batch_plan.Key, Row] = {(given.lead_id, kind): row("waiting") for kind in batch_plan.KINDS}
    made = arrange([record_of(given, 1), record_of(given, 1, "admin_alert")], rows)
    assert [each.kind for each in made.taken] == ["admin_alert"]
    assert made.to_send == made.taken


def test_welcomes_to_one_address_are_bounded_within_a_batch_however_it_is_spelt() -> None:
    leads = [lead(email=spelt) for spelt in ("a@example.com", "A@example.com", "a@EXAMPLE.com")]
    made = arrange([record_of(each, at) for at, each in enumerate(leads)], limit=2)
    welcomes = [reason for each, reason in made.new if each.kind == "welcome"]
    assert sorted(welcomes, key=bool) == [None, None, "too many welcomes to this address"]
    assert all(reason is None for each, reason in made.new if each.kind == "admin_alert")


def test_regression_plus_tags_and_gmails_dots_reach_one_mailbox_and_count_as_one() -> None:
    leads = [lead(email=f"v.i.ctim+{n}@{d}mail.com") for n in range(20) for d in ("g", "google")]
    made = arrange([record_of(each, at) for at, each in enumerate(leads)], limit=3)
    welcomes = [reason for each, reason in made.new if each.kind == "welcome"]
    assert welcomes.count(None) == 3
    assert welcomes.count("too many welcomes to this address") == 37


def test_welcomes_of_one_site_are_bounded_in_an_hour_and_alerts_and_retries_are_not() -> None:
    now = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
    leads = [lead(occurred_at=now, site="a") for _ in range(5)] + [lead(occurred_at=now, site="b")]
    later = lead(occurred_at=now + timedelta(minutes=31), site="a")
    made = arrange([record_of(each, at) for at, each in enumerate([*leads, later])], site_limit=2)
    sites = Counter(each.lead.site for each, reason in made.new if each.kind == "welcome" and not reason)
    assert sites == {"a": 3, "b": 1}
    assert all(reason is None for each, reason in made.new if each.kind == "admin_alert")
    held = {(leads[0].lead_id, kind): row("suppressed") for kind in batch_plan.KINDS}
    resent = arrange([record_of(leads[0], 1, "welcome")], held, site_limit=1)
    assert [each.kind for each in resent.taken] == ["welcome"]


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", b"[]", b"null"])
def test_what_cannot_be_decoded_is_set_aside(value: bytes | None) -> None:
    record: Any = FakeRecord()
    record.value = value
    reading = batch_plan.read([record])
    assert (reading.leads, reading.undecodable) == ([], [record])


def test_regression_of_two_retries_of_a_mail_that_another_process_has_in_hand_both_wait() -> None:
    # The first one was committed without an outcome: its mail would have been taken for `sent`.
    given = lead()
    records: list[Any] = [record_of(given, 3, "welcome"), record_of(given, 5, "welcome")]
    rows: dict[batch_plan.Key, Row] = {
        (given.lead_id, "welcome"): row("sending", THEM, 9),
        (given.lead_id, "admin_alert"): row("sent"),
    }
    made = batch_plan.arrange(batch_plan.read(records), rows, {}, WelcomeCounts(3, 200), owner=US, in_hand=())
    assert made.waiting == {(RETRY, 0): 3}
