"""The action for a delivery, one its row and its record, and the plan of a batch."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.failures import Kind, legacy_failure_event_id
from contracts.leads import LeadReceived
from services.notifier.alert_collection import AlertCollection
from services.notifier.batch_plan import Action, BatchPlan, choose_action, plan_batch, suppression_reason
from services.notifier.deliveries import KINDS, DeliveryRow, Key, decode_batch
from services.notifier.mail.alert_schedule import IMMEDIATE
from services.notifier.welcome_limits import WelcomeCounts
from tests.support.factories import lead
from tests.support.services.notifier import RECEIVED, RETRY, FakeRecord, delivery

US, THEM = uuid4(), uuid4()


def row(
    state: str, owner: UUID | None = None, lease: float = 0.0, settled_by: UUID | None = None
) -> DeliveryRow:
    return DeliveryRow(state, owner, lease, settled_by)


@pytest.mark.parametrize(
    "state", ["sent", "waiting", "dead", "unknown", "suppressed", "bounced", "complained"]
)
def test_a_redelivered_lead_skips_final_mails(state: str) -> None:
    assert choose_action(delivery(), row(state), None, US, ()) is Action.SKIP


@pytest.mark.parametrize("state", ["waiting", "dead", "unknown", "suppressed", "bounced", "complained"])
def test_a_retry_reserves_a_mail_that_was_not_sent(state: str) -> None:
    assert choose_action(delivery(retry=True), row(state), None, US, ()) is Action.RESERVE
    assert choose_action(delivery(retry=True), row(state), "erased", US, ()) is Action.SUPPRESS


def test_a_retry_of_a_sent_mail_resolves_its_replay() -> None:
    assert choose_action(delivery(retry=True), row("sent"), None, US, ()) is Action.RESOLVE_REPLAY


@pytest.mark.parametrize("state", ["waiting", "dead", "unknown", "suppressed", "sent"])
def test_a_redelivered_retry_skips_the_mail_that_it_completed(state: str) -> None:
    again = delivery(retry=True)
    assert choose_action(again, row(state, settled_by=again.record_id), None, US, ()) is Action.SKIP


@pytest.mark.parametrize("state", ["waiting", "dead", "unknown", "suppressed", "sent"])
def test_regression_a_retry_completed_by_an_earlier_version_is_skipped(state: str) -> None:
    # An unknown welcome was sent again after the upgrade.
    again = delivery(retry=True)
    settled_by = legacy_failure_event_id(again.record, "notifier", "welcome")
    assert choose_action(again, row(state, settled_by=settled_by), None, US, ()) is Action.SKIP


@pytest.mark.parametrize("state", ["collected", "sending", "waiting", "unknown"])
def test_a_digest_decides_the_outcome_of_its_alerts(state: str) -> None:
    listed = DeliveryRow(state, THEM, -1.0, None, in_digest=True)
    assert choose_action(delivery("admin_alert"), listed, None, US, ()) is Action.SKIP
    again = delivery("admin_alert", retry=True)
    assert choose_action(again, listed, None, US, ()) is Action.RESOLVE_REPLAY
    completed = replace(listed, settled_by=again.record_id)
    assert choose_action(again, completed, None, US, ()) is Action.SKIP


@pytest.mark.parametrize("state", ["reserved", "sending"])
def test_regression_a_repeated_lead_leaves_a_mail_to_its_retry(state: str) -> None:
    # It marked the retry's mail as unknown, and the retry's own record then sent a confirmation again.
    interrupted = row(state, THEM, -1, settled_by=uuid4())
    assert choose_action(delivery(), interrupted, None, US, ()) is Action.SKIP
    expected = Action.MARK_UNKNOWN if state == "sending" else Action.RESERVE
    assert choose_action(delivery(retry=True), interrupted, None, US, ()) is expected
    own = delivery()
    assert choose_action(own, row(state, THEM, -1, own.record_id), None, US, ()) is expected


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize(
    ("held", "action"),
    [
        (row("reserved", US, 9), Action.RESERVE),
        (row("reserved", US, -1), Action.RESERVE),
        (row("reserved", THEM, 9), Action.WAIT),
        (row("reserved", THEM, -1), Action.RESERVE),
        (row("sending", THEM, 9), Action.WAIT),
        (row("sending", THEM, -1), Action.MARK_UNKNOWN),
        (row("sending", US, 9), Action.WAIT),
        (row("sending", US, -1), Action.MARK_UNKNOWN),
    ],
)
def test_a_lease_decides_which_process_may_send(retry: bool, held: DeliveryRow, action: Action) -> None:
    assert choose_action(delivery(retry=retry), held, None, US, ()) is action


@pytest.mark.parametrize("state", ["reserved", "sending"])
def test_a_mail_in_progress_in_this_process_is_resumed(state: str) -> None:
    mine = delivery()
    assert choose_action(mine, row(state, US, -1), "erased", US, {mine.key}) is Action.RESUME


def test_a_mail_in_progress_that_another_process_reserved_waits() -> None:
    mine = delivery()
    assert choose_action(mine, row("sending", THEM, 9), None, US, {mine.key}) is Action.WAIT


@pytest.mark.parametrize(
    ("reasons", "status", "why"),
    [
        ((), None, None),
        (("honeypot",), None, "spam"),
        (("honeypot",), "received", None),
        (("rate_ip", "rate_email"), None, "held"),
        (("rate_ip", "honeypot"), None, "spam"),
        ((), "held", "held"),
        ((), "spam", "spam"),
        ((), "erased", "erased"),
        ((), "contacted", None),
    ],
)
def test_the_stored_status_takes_precedence_over_the_record(
    reasons: tuple[str, ...], status: str | None, why: str | None
) -> None:
    one = lead(spam_reasons=reasons)
    for kind in KINDS:
        assert suppression_reason(delivery(kind, of=one), status, (), 3) == why


def test_only_welcomes_are_limited_and_a_lead_ignores_itself() -> None:
    one = lead()
    others = {uuid4(), uuid4()}
    assert suppression_reason(delivery(of=one), None, others | {one.lead_id}, 3) is None
    assert suppression_reason(delivery(of=one), None, others | {uuid4()}, 3) is not None
    assert suppression_reason(delivery("admin_alert", of=one), None, others | {uuid4()}, 3) is None


def record_of(one: LeadReceived, offset: int, kind: Kind | None = None) -> FakeRecord:
    return FakeRecord(
        RETRY if kind else RECEIVED,
        offset=offset,
        value=one.model_dump_json().encode(),
        headers=[("fastcore-kind", kind.encode())] if kind else [],
    )


def plan_of(
    records: list[Any],
    rows: dict[Key, DeliveryRow] | None = None,
    limit: int = 3,
    site_limit: int = 99,
) -> BatchPlan:
    counts = WelcomeCounts(per_mailbox=limit, per_site_hour=site_limit)
    return plan_batch(decode_batch(records), rows or {}, {}, counts, owner=US, in_progress=())


def test_alerts_beyond_the_limit_are_collected_and_welcomes_are_sent() -> None:
    leads = [lead(), lead(spam_reasons=("honeypot",)), lead(), lead()]
    rules = AlertCollection(datetime.now(UTC), 1, 600.0, lambda _: IMMEDIATE, lambda each: (each.site, ""))
    failed = lead()
    rows = {(failed.lead_id, kind): row("dead") for kind in KINDS}
    records = [record_of(each, number) for number, each in enumerate(leads)]
    records.append(record_of(failed, 9, "admin_alert"))
    batch, counts = decode_batch(records), WelcomeCounts(3, 99)
    plan = plan_batch(batch, rows, {}, counts, owner=US, in_progress=(), collection=rules)
    assert Counter(each.kind for each in plan.to_send) == {"welcome": 3, "admin_alert": 1}
    assert len(plan.collected) == 3
    assert set(plan.due_at) == {each.key for each in plan.collected}
    assert plan.reserved == []
    collected, sent = ({each.key for each in part} for part in (plan.collected, plan.to_send))
    assert not collected & sent
    assert len(plan.suppressed) == 2


def test_only_the_first_record_of_a_lead_requests_both_mails() -> None:
    one = lead()
    first, second = record_of(one, 1), record_of(one, 2)
    plan = plan_of([first, second])
    assert plan.first_records == {id(first)}
    assert [(each.kind, reason) for each, reason in plan.new] == [("welcome", None), ("admin_alert", None)]
    assert plan.to_send == [each for each, _ in plan.new]
    assert (plan.reserved, plan.resumed, plan.resolved) == ([], [], [])


def test_a_retry_that_is_its_leads_first_record_requests_both_mails() -> None:
    plan = plan_of([record_of(lead(), 1, "admin_alert")])
    assert [each.kind for each, _ in plan.new] == ["welcome", "admin_alert"]


def test_a_retry_requests_its_own_kind_only() -> None:
    one = lead()
    rows: dict[Key, DeliveryRow] = {(one.lead_id, kind): row("waiting") for kind in KINDS}
    plan = plan_of([record_of(one, 1), record_of(one, 1, "admin_alert")], rows)
    assert [each.kind for each in plan.reserved] == ["admin_alert"]
    assert plan.to_send == plan.reserved


def test_welcomes_to_one_mailbox_are_limited_within_a_batch() -> None:
    leads = [lead(email=spelt) for spelt in ("a@example.com", "A@example.com", "a@EXAMPLE.com")]
    plan = plan_of([record_of(each, at) for at, each in enumerate(leads)], limit=2)
    welcomes = [reason for each, reason in plan.new if each.kind == "welcome"]
    assert sorted(welcomes, key=bool) == [None, None, "too many welcomes to this address"]
    assert all(reason is None for each, reason in plan.new if each.kind == "admin_alert")


def test_regression_plus_tags_and_gmail_dots_count_as_one_mailbox() -> None:
    leads = [lead(email=f"v.i.ctim+{n}@{d}mail.com") for n in range(20) for d in ("g", "google")]
    plan = plan_of([record_of(each, at) for at, each in enumerate(leads)], limit=3)
    welcomes = [reason for each, reason in plan.new if each.kind == "welcome"]
    assert welcomes.count(None) == 3
    assert welcomes.count("too many welcomes to this address") == 37


def test_welcomes_of_one_site_are_limited_alerts_and_retries_are_not() -> None:
    now = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
    leads = [lead(occurred_at=now, site="a") for _ in range(5)] + [lead(occurred_at=now, site="b")]
    later = lead(occurred_at=now + timedelta(minutes=31), site="a")
    plan = plan_of([record_of(each, at) for at, each in enumerate([*leads, later])], site_limit=2)
    sites = Counter(each.lead.site for each, reason in plan.new if each.kind == "welcome" and not reason)
    assert sites == {"a": 3, "b": 1}
    assert all(reason is None for each, reason in plan.new if each.kind == "admin_alert")
    held = {(leads[0].lead_id, kind): row("suppressed") for kind in KINDS}
    resent = plan_of([record_of(leads[0], 1, "welcome")], held, site_limit=1)
    assert [each.kind for each in resent.reserved] == ["welcome"]


def test_regression_two_retries_of_a_leased_mail_both_wait() -> None:
    # The first retry was committed without an outcome, so a recovery would have recorded the mail as sent.
    one = lead()
    records: list[Any] = [record_of(one, 3, "welcome"), record_of(one, 5, "welcome")]
    rows: dict[Key, DeliveryRow] = {
        (one.lead_id, "welcome"): row("sending", THEM, 9),
        (one.lead_id, "admin_alert"): row("sent"),
    }
    plan = plan_batch(decode_batch(records), rows, {}, WelcomeCounts(3, 200), owner=US, in_progress=())
    assert plan.busy == {(RETRY, 0): 3}


def test_lead_without_an_address_gets_an_alert_and_no_confirmation() -> None:
    one = lead(email=None)
    assert suppression_reason(delivery(of=one), None, (), 3) == "no_address"
    assert suppression_reason(delivery("admin_alert", of=one), None, (), 3) is None
    assert (
        suppression_reason(delivery(of=lead(email=None, spam_reasons=("honeypot",))), None, (), 3) == "spam"
    )
