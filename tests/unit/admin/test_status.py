"""What an admin may do to a lead, status by status."""

from datetime import UTC, datetime
from itertools import product
from typing import get_args
from uuid import uuid4

import pytest

from contracts.leads import LeadStatus
from services.admin.rules.lead_rules import (
    MAILS,
    Refused,
    as_received,
    judge_change,
    judge_resend,
    mails_owed,
    undo_status,
)
from services.admin.schemas.filters import SettableStatus

SETTABLE = get_args(SettableStatus)
WORKED = [status for status in SETTABLE if status is not LeadStatus.SPAM]


def test_erased_is_the_only_status_that_cannot_be_set() -> None:
    assert set(LeadStatus) - set(SETTABLE) == {LeadStatus.ERASED}


@pytest.mark.parametrize(("current", "new"), list(product(WORKED, SETTABLE)))
def test_admins_move_freely_between_the_working_statuses(current: LeadStatus, new: LeadStatus) -> None:
    assert judge_change(current, new, None) is (current is not new)
    assert mails_owed(current, new) == ()


@pytest.mark.parametrize("new", SETTABLE)
def test_nothing_leaves_erased(new: LeadStatus) -> None:
    with pytest.raises(Refused, match="erased"):
        judge_change(LeadStatus.ERASED, new, LeadStatus.ERASED)


def test_spam_becomes_received_first_and_owes_both_mails() -> None:
    for new in set(WORKED) - {LeadStatus.RECEIVED}:
        with pytest.raises(Refused, match="received"):
            judge_change(LeadStatus.SPAM, new, None)
    assert judge_change(LeadStatus.SPAM, LeadStatus.RECEIVED, LeadStatus.SPAM)
    assert mails_owed(LeadStatus.SPAM, LeadStatus.RECEIVED) == MAILS


@pytest.mark.parametrize("new", SETTABLE)
def test_another_status_than_expected_is_refused_even_where_nothing_would_change(new: LeadStatus) -> None:
    with pytest.raises(Refused, match="before you"):
        judge_change(LeadStatus.WON, new, LeadStatus.RECEIVED)


@pytest.mark.parametrize("state", ["waiting", "dead", "unknown", "suppressed", "reserved", None])
def test_any_mail_that_was_not_sent_may_be_tried_again(state: str | None) -> None:
    judge_resend(LeadStatus.WON, "welcome", state)


@pytest.mark.parametrize(
    ("status", "state"),
    [(LeadStatus.SPAM, None), (LeadStatus.ERASED, "dead"), (LeadStatus.RECEIVED, "sent")],
)
def test_no_mail_goes_to_spam_or_erased_or_a_second_time(status: LeadStatus, state: str | None) -> None:
    with pytest.raises(Refused):
        judge_resend(status, "welcome", state)


def test_a_stored_lead_is_written_as_the_event_it_came_from() -> None:
    lead_id, event_id, at = uuid4(), uuid4(), datetime(2024, 1, 3, tzinfo=UTC)
    row = {
        "id": lead_id,
        "request_id": "r",
        "site": "default",
        "body_sha256": "0" * 64,
        "name": "Ada",
        "email": "ada@example.com",
        "service": "SEO",
        "message": "Hello",
        "source": {"utm_source": "x"},
        "extra": {"budget": 7},
        "spam_reasons": ["honeypot"],
        "created_at_utc": at,
        "status": "spam",
        "notes": "ours, not the lead's",
    }
    received = as_received(row, event_id)
    assert (received.lead_id, received.event_id, received.occurred_at) == (lead_id, event_id, at)
    assert (received.extra, received.spam_reasons) == ({"budget": 7}, ("honeypot",))
    assert "notes" not in received.model_dump()


@pytest.mark.parametrize(
    ("previous", "new", "undo"),
    [
        ("received", "contacted", "received"),
        ("won", "lost", "won"),
        ("received", "spam", None),  # to undo it would send mails
        ("won", "spam", None),
        ("spam", "received", None),  # the mails are on their way
        ("won", "won", None),
    ],
)
def test_a_change_can_be_undone_where_nothing_else_follows_from_it(
    previous: str, new: str, undo: str | None
) -> None:
    assert undo_status(LeadStatus(previous), LeadStatus(new)) == undo
