"""The outcomes of lost mails, derived from Kafka's records."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import headers, topics
from contracts.failures import failure_event_id, legacy_failure_event_id
from contracts.leads import LeadReceived
from services.notifier.deliveries import KINDS, DeliveryRow, Key
from services.notifier.recovery.recovered_outcomes import (
    PublishedFailure,
    recover_outcomes,
    update_newest_retries,
)
from tests.support.factories import lead

Rows = dict[Key, DeliveryRow]
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


def failure(of: Any, kind: Any, error: str) -> dict[str, PublishedFailure]:
    return {str(failure_event_id(of, "notifier", kind)): PublishedFailure(error, str(of.timestamp))}


def legacy_failure(of: Any, kind: Any, error: str, at: int = 0) -> dict[str, PublishedFailure]:
    return {str(legacy_failure_event_id(of, "notifier", kind)): PublishedFailure(error, str(at))}


def recovered(records: list[Any], failures: dict[str, PublishedFailure], known: Collection[Any] = ()) -> Any:
    rows = {(lead_id, kind): DeliveryRow("waiting", None, 0.0, None) for lead_id in known for kind in KINDS}
    mails, outcomes = recover_outcomes(records, rows, {}, failures, set(map(id, records)))
    return [(mail.delivery.kind, mail.state) for mail in mails], outcomes


def test_a_mail_without_a_failure_was_sent() -> None:
    assert recovered([record(lead(), 1)], {}) == ([("welcome", "sent"), ("admin_alert", "sent")], ["stored"])


@pytest.mark.parametrize("status", ["waiting", "dead", "unknown"])
def test_a_failure_decides_its_own_mail_only(status: str) -> None:
    first = record(lead(), 1)
    mails, _ = recovered([first], failure(first, "welcome", f"smtp.{status}"))
    assert mails == [("welcome", status), ("admin_alert", "sent")]


def test_a_retry_overrides_the_first_attempt() -> None:
    one = lead()
    first, again = record(one, 1), record(one, 1, "welcome")
    mails, outcomes = recovered([first, again], failure(first, "welcome", "smtp.waiting"))
    assert mails == [("welcome", "waiting"), ("admin_alert", "sent"), ("welcome", "sent")]
    assert outcomes == ["stored", "duplicate"]


def test_a_retry_of_a_known_lead_changes_that_one_mail() -> None:
    one = lead()
    mails, outcomes = recovered([record(one, 7, "welcome")], {}, [one.lead_id])
    assert (mails, outcomes) == ([("welcome", "sent")], ["duplicate"])


def test_a_redelivery_of_a_known_lead_changes_nothing() -> None:
    one = lead()
    assert recovered([record(one, 7)], {}, {one.lead_id}) == ([], ["duplicate"])


def test_spam_was_suppressed_and_garbage_is_undecodable() -> None:
    spam = record(lead(spam_reasons=("honeypot",)), 1)
    mails, outcomes = recovered([spam, record(None, 2)], {})
    assert mails == [("welcome", "suppressed"), ("admin_alert", "suppressed")]
    assert outcomes == ["stored", "undecodable"]


def test_the_mails_of_an_erased_lead_were_suppressed() -> None:
    one = lead()
    first = record(one, 1)
    mails, _ = recover_outcomes([first], {}, {one.lead_id: "erased"}, {}, {id(first)})
    assert {(mail.state, mail.reason) for mail in mails} == {("suppressed", "erased")}


def unfinished(settled_by: Any = None, lease: float = 0.0, state: str = "sending") -> DeliveryRow:
    return DeliveryRow(state, None, lease, settled_by)


def test_a_mail_unfinished_in_the_backup_gets_its_outcome() -> None:
    one = lead()
    first = record(one, 1)
    rows: Rows = {
        (one.lead_id, "welcome"): unfinished(lease=10.0),
        (one.lead_id, "admin_alert"): unfinished(state="sent"),
    }
    mails, outcomes = recover_outcomes([first], rows, {}, failure(first, "welcome", "smtp.dead"), set())
    assert [(mail.delivery.kind, mail.state) for mail in mails] == [("welcome", "dead")]
    assert outcomes == ["duplicate"]


def test_an_alert_in_a_digest_keeps_its_state() -> None:
    one = lead()
    first, again = record(one, 1), record(one, 1, "admin_alert")
    rows: Rows = {
        (one.lead_id, "welcome"): unfinished(state="sent"),
        (one.lead_id, "admin_alert"): DeliveryRow("sending", None, 0.0, None, in_digest=True),
    }
    mails, _ = recover_outcomes([first, again], rows, {}, {}, {id(first), id(again)})
    assert mails == []


def test_a_first_record_leaves_a_mail_reserved_by_a_retry_unchanged() -> None:
    one = lead()
    first, again = record(one, 1), record(one, 1, "welcome")
    before = failure_event_id(first, "notifier", "welcome")
    rows: Rows = {
        (one.lead_id, "welcome"): unfinished(before),
        (one.lead_id, "admin_alert"): unfinished(state="sent"),
    }
    mails, _ = recover_outcomes([first], rows, {}, {}, set())
    assert mails == []
    rows[one.lead_id, "welcome"] = unfinished(before, lease=10.0)
    assert recover_outcomes([again], rows, {}, {}, set())[0] == []
    rows[one.lead_id, "welcome"] = unfinished(before)
    mails, _ = recover_outcomes([again], rows, {}, {}, set())
    assert [(mail.delivery.kind, mail.state) for mail in mails] == [("welcome", "sent")]


def states(
    records: list[Any], row: DeliveryRow, failures: dict[str, PublishedFailure], uncounted: bool = False
) -> list[Any]:
    """The recovered mails of these records, which are of one lead whose welcome has this row."""
    one = LeadReceived.model_validate_json(records[0].value)
    rows: Rows = {(one.lead_id, "welcome"): row, (one.lead_id, "admin_alert"): unfinished(state="sent")}
    mails, _ = recover_outcomes(records, rows, {}, failures, set(map(id, records)) if uncounted else set())
    return [(mail.delivery.record.offset, mail.state) for mail in mails]


def test_regression_a_copy_of_a_retry_without_an_outcome_is_ignored() -> None:
    # Only the last retry of a batch is sent. Recovery recorded the next one as `sent`, and the mail was lost.
    one = lead()
    retry, copy = record(one, 1, "welcome"), record(one, 2, "welcome")
    row = unfinished(failure_event_id(copy, "notifier", "welcome"), state="reserved")
    assert states([retry, copy], row, failure(copy, "welcome", "smtp.waiting")) == []
    assert states([retry, copy], row, failure(copy, "welcome", "smtp.waiting"), uncounted=True) == []


def test_regression_an_earlier_retry_does_not_recover_a_sending_mail() -> None:
    # The mail went from `sending` to `waiting`, and was sent again instead of being unknown.
    one = lead()
    first, second = record(one, 1, "welcome"), record(one, 2, "welcome")
    row = unfinished(failure_event_id(second, "notifier", "welcome"))
    failures = failure(first, "welcome", "smtp.waiting") | failure(second, "welcome", "smtp.waiting")
    assert states([first, second], row, failures) == []


def test_the_newest_retry_decides_a_mail_unfinished_in_the_backup() -> None:
    one = lead()
    first, second = record(one, 1, "welcome"), record(one, 2, "welcome")
    row = unfinished(failure_event_id(first, "notifier", "welcome"), state="reserved")
    failures = failure(first, "welcome", "smtp.waiting")
    assert states([first, second], row, failures) == [(2, "sent")]
    failures |= failure(second, "welcome", "smtp.dead")
    assert states([first, second], row, failures) == [(2, "dead")]


def test_the_newest_retry_may_be_in_another_chunk_or_partition() -> None:
    one = lead()
    first, second = record(one, 9, "welcome"), record(one, 2, "welcome")
    second.partition, second.timestamp = 1, 5
    newest = update_newest_retries([second], update_newest_retries([first], {}))
    rows: Rows = {
        (one.lead_id, "welcome"): unfinished(failure_event_id(second, "notifier", "welcome")),
        (one.lead_id, "admin_alert"): unfinished(state="sent"),
    }
    assert (
        recover_outcomes([first], rows, {}, failure(first, "welcome", "smtp.waiting"), set(), newest)[0] == []
    )
    assert (
        update_newest_retries([first], {})
        == update_newest_retries([record(one, 8, "welcome"), first], {})
        != newest
    )


def test_regression_a_retry_completed_by_an_earlier_version_is_not_lost() -> None:
    # After an upgrade a reserved mail was recorded as `sent` within a minute, and never sent.
    retry = record(lead(), 1, "welcome")
    row = unfinished(legacy_failure_event_id(retry, "notifier", "welcome"), state="reserved")
    assert states([retry], row, legacy_failure(retry, "welcome", "smtp.waiting")) == []


@pytest.mark.parametrize("status", ["waiting", "dead", "unknown"])
def test_regression_a_backup_finds_failures_of_an_earlier_version(
    status: str,
) -> None:
    # Every old failure was recovered as `sent`.
    first = record(lead(), 1)
    failures = legacy_failure(first, "welcome", f"smtp.{status}")
    assert recovered([first], failures) == ([("welcome", status), ("admin_alert", "sent")], ["stored"])


def test_regression_a_retry_of_an_earlier_version_uses_its_origin() -> None:
    one = lead()
    retry = record(one, 7, "welcome")
    origin = [
        (headers.ORIGINAL_TOPIC, b"t"),
        (headers.ORIGINAL_PARTITION, b"0"),
        (headers.ORIGINAL_OFFSET, b"3"),
    ]
    retry.headers += [*origin, (headers.ORIGINAL_TIMESTAMP, b"1234"), (headers.ORIGINAL_GROUP, b"g")]
    failures = legacy_failure(retry, "welcome", "smtp.dead", at=1234)
    assert recovered([retry], failures, [one.lead_id])[0] == [("welcome", "dead")]


def test_a_failure_of_a_lost_record_ignores_the_one_at_its_offset() -> None:
    first = record(lead(), 1)
    failures = legacy_failure(first, "welcome", "smtp.dead", at=first.timestamp + 1)
    assert recovered([first], failures)[0] == [("welcome", "sent"), ("admin_alert", "sent")]
