"""What Kafka tells of forgotten mails: each in the state in which the notifier had left it."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import headers, topics
from contracts.failures import failure_event_id, legacy_failure_event_id
from contracts.leads import LeadReceived
from services.notifier.batch_plan import KINDS, Key, Row
from services.notifier.recovered_outcomes import Failed, find_newest, remember
from tests.support.factories import lead

Rows = dict[Key, Row]
RECEIVED, RETRY = topics.RECEIVED.name, topics.RETRY_NOTIFIER.name


def record(of: LeadReceived | None, offset: int, kind: str | None = None) -> Any:
    return SimpleNamespace(
        topic=RETRY if kind else RECEIVED,
        partition=0,
        offset=offset,
        timestamp=0,
        key=b"",
        value=of.model_dump_json().encode() if of else b"no lead",
        headers=[(headers.KIND, kind.encode())] if kind else [],
    )


def failure(of: Any, kind: Any, error: str) -> dict[str, Failed]:
    return {str(failure_event_id(of, "notifier", kind)): Failed(error, str(of.timestamp))}


def legacy_failure(of: Any, kind: Any, error: str, at: int = 0) -> dict[str, Failed]:
    return {str(legacy_failure_event_id(of, "notifier", kind)): Failed(error, str(at))}


def told(records: list[Any], failures: dict[str, Failed], known: Collection[Any] = ()) -> Any:
    rows = {(lead_id, kind): Row("waiting", None, 0.0, None) for lead_id in known for kind in KINDS}
    mails, outcomes = remember(records, rows, {}, failures, set(map(id, records)))
    return [(mail.delivery.kind, mail.state) for mail in mails], outcomes


def test_a_mail_without_a_failure_was_sent() -> None:
    assert told([record(lead(), 1)], {}) == ([("welcome", "sent"), ("admin_alert", "sent")], ["stored"])


@pytest.mark.parametrize("verdict", ["waiting", "dead", "unknown"])
def test_a_failure_tells_how_its_mail_failed_and_nothing_of_the_other(verdict: str) -> None:
    first = record(lead(), 1)
    mails, _ = told([first], failure(first, "welcome", f"smtp.{verdict}"))
    assert mails == [("welcome", verdict), ("admin_alert", "sent")]


def test_a_retry_says_more_than_the_first_try() -> None:
    one = lead()
    first, again = record(one, 1), record(one, 1, "welcome")
    mails, outcomes = told([first, again], failure(first, "welcome", "smtp.waiting"))
    assert mails == [("welcome", "waiting"), ("admin_alert", "sent"), ("welcome", "sent")]
    assert outcomes == ["stored", "duplicate"]


def test_a_retry_of_a_lead_that_the_backup_knew_changes_that_one_mail() -> None:
    one = lead()
    mails, outcomes = told([record(one, 7, "welcome")], {}, [one.lead_id])
    assert (mails, outcomes) == ([("welcome", "sent")], ["duplicate"])


def test_a_repeat_of_a_known_lead_changes_nothing() -> None:
    one = lead()
    assert told([record(one, 7)], {}, {one.lead_id}) == ([], ["duplicate"])


def test_spam_was_suppressed_and_what_is_no_lead_counts_as_undecodable() -> None:
    spam = record(lead(spam_reasons=("honeypot",)), 1)
    mails, outcomes = told([spam, record(None, 2)], {})
    assert mails == [("welcome", "suppressed"), ("admin_alert", "suppressed")]
    assert outcomes == ["stored", "undecodable"]


def test_an_erased_lead_is_mailed_to_nobody() -> None:
    one = lead()
    given = record(one, 1)
    mails, _ = remember([given], {}, {one.lead_id: "erased"}, {}, {id(given)})
    assert {(mail.state, mail.reason) for mail in mails} == {("suppressed", "erased")}


def in_hand(settled_by: Any = None, lease: float = 0.0, state: str = "sending") -> Row:
    return Row(state, None, lease, settled_by)


def test_a_mail_that_was_in_hand_when_the_database_was_copied_gets_its_outcome() -> None:
    one = lead()
    first = record(one, 1)
    rows: Rows = {
        (one.lead_id, "welcome"): in_hand(lease=10.0),
        (one.lead_id, "admin_alert"): in_hand(state="sent"),
    }
    mails, outcomes = remember([first], rows, {}, failure(first, "welcome", "smtp.dead"), set())
    assert [(mail.delivery.kind, mail.state) for mail in mails] == [("welcome", "dead")]
    assert outcomes == ["duplicate"]


def test_a_mail_in_hand_for_a_retry_is_not_settled_by_its_first_record() -> None:
    one = lead()
    first, again = record(one, 1), record(one, 1, "welcome")
    before = failure_event_id(first, "notifier", "welcome")
    rows: Rows = {
        (one.lead_id, "welcome"): in_hand(before),
        (one.lead_id, "admin_alert"): in_hand(state="sent"),
    }
    mails, _ = remember([first], rows, {}, {}, set())
    assert mails == []
    rows[one.lead_id, "welcome"] = in_hand(before, lease=10.0)
    assert remember([again], rows, {}, {}, set())[0] == []
    rows[one.lead_id, "welcome"] = in_hand(before)
    mails, _ = remember([again], rows, {}, {}, set())
    assert [(mail.delivery.kind, mail.state) for mail in mails] == [("welcome", "sent")]


def states(records: list[Any], row: Row, failures: dict[str, Failed], lacked: bool = False) -> list[Any]:
    """The mails that are written again of the one lead of these records, whose welcome has this row."""
    one = LeadReceived.model_validate_json(records[0].value)
    rows: Rows = {(one.lead_id, "welcome"): row, (one.lead_id, "admin_alert"): in_hand(state="sent")}
    mails, _ = remember(records, rows, {}, failures, set(map(id, records)) if lacked else set())
    return [(mail.delivery.record.offset, mail.state) for mail in mails]


def test_regression_of_two_copies_of_a_retry_the_one_without_an_outcome_says_nothing() -> None:
    # Of a batch the last one is sent. The next retry, given back, was taken for `sent`: a lost mail.
    one = lead()
    retry, copy = record(one, 1, "welcome"), record(one, 2, "welcome")
    row = in_hand(failure_event_id(copy, "notifier", "welcome"), state="reserved")
    assert states([retry, copy], row, failure(copy, "welcome", "smtp.waiting")) == []
    assert states([retry, copy], row, failure(copy, "welcome", "smtp.waiting"), lacked=True) == []


def test_regression_an_earlier_retry_does_not_take_back_a_mail_whose_process_ended_in_its_body() -> None:
    # It went from `sending` to `waiting`, and was sent again instead of being unknown.
    one = lead()
    first, second = record(one, 1, "welcome"), record(one, 2, "welcome")
    row = in_hand(failure_event_id(second, "notifier", "welcome"))
    failures = failure(first, "welcome", "smtp.waiting") | failure(second, "welcome", "smtp.waiting")
    assert states([first, second], row, failures) == []


def test_the_newest_retry_says_what_became_of_a_mail_that_an_older_database_has_in_hand() -> None:
    one = lead()
    first, second = record(one, 1, "welcome"), record(one, 2, "welcome")
    row = in_hand(failure_event_id(first, "notifier", "welcome"), state="reserved")
    failures = failure(first, "welcome", "smtp.waiting")
    assert states([first, second], row, failures) == [(2, "sent")]
    failures |= failure(second, "welcome", "smtp.dead")
    assert states([first, second], row, failures) == [(2, "dead")]


def test_the_newest_retry_may_be_in_a_later_chunk_or_another_partition() -> None:
    one = lead()
    first, second = record(one, 9, "welcome"), record(one, 2, "welcome")
    second.partition, second.timestamp = 1, 5
    newest = find_newest([second], find_newest([first], {}))
    rows: Rows = {
        (one.lead_id, "welcome"): in_hand(failure_event_id(second, "notifier", "welcome")),
        (one.lead_id, "admin_alert"): in_hand(state="sent"),
    }
    assert remember([first], rows, {}, failure(first, "welcome", "smtp.waiting"), set(), newest)[0] == []
    assert find_newest([first], {}) == find_newest([record(one, 8, "welcome"), first], {}) != newest


def test_regression_a_retry_that_an_earlier_version_settled_is_not_taken_for_forgotten() -> None:
    # After an upgrade the mail in hand was recorded as `sent` within a minute, and never sent.
    retry = record(lead(), 1, "welcome")
    row = in_hand(legacy_failure_event_id(retry, "notifier", "welcome"), state="reserved")
    assert states([retry], row, legacy_failure(retry, "welcome", "smtp.waiting")) == []


@pytest.mark.parametrize("verdict", ["waiting", "dead", "unknown"])
def test_regression_a_backup_from_before_the_upgrade_learns_of_the_failures_of_that_time(
    verdict: str,
) -> None:
    # Every old failure was rebuilt as `sent`.
    first = record(lead(), 1)
    failures = legacy_failure(first, "welcome", f"smtp.{verdict}")
    assert told([first], failures) == ([("welcome", verdict), ("admin_alert", "sent")], ["stored"])


def test_regression_a_retry_from_before_the_upgrade_failed_as_its_first_record_is_named() -> None:
    one = lead()
    retry = record(one, 7, "welcome")
    origin = [
        (headers.ORIGINAL_TOPIC, b"t"),
        (headers.ORIGINAL_PARTITION, b"0"),
        (headers.ORIGINAL_OFFSET, b"3"),
    ]
    retry.headers += [*origin, (headers.ORIGINAL_TIMESTAMP, b"1234"), (headers.ORIGINAL_GROUP, b"g")]
    failures = legacy_failure(retry, "welcome", "smtp.dead", at=1234)
    assert told([retry], failures, [one.lead_id])[0] == [("welcome", "dead")]


def test_the_failure_of_a_lost_record_says_nothing_of_the_one_at_its_offset() -> None:
    first = record(lead(), 1)
    failures = legacy_failure(first, "welcome", "smtp.dead", at=first.timestamp + 1)
    assert told([first], failures)[0] == [("welcome", "sent"), ("admin_alert", "sent")]
