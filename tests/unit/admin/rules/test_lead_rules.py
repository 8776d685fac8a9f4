"""Allowed changes of a lead, status by status."""

from itertools import product
from types import SimpleNamespace
from typing import get_args

import pytest

from contracts.leads import LeadStatus
from services.admin.rules.errors import ConflictError
from services.admin.rules.lead_rules import (
    EMAIL_KINDS,
    check_resend,
    check_status_change,
    emails_due,
    lead_title,
    undo_status,
)
from services.admin.schemas.filters import SettableStatus

SETTABLE = get_args(SettableStatus)
WORKED = [status for status in SETTABLE if status is not LeadStatus.SPAM]


def test_admins_set_every_status_but_erased_and_held() -> None:
    assert set(LeadStatus) - set(SETTABLE) == {LeadStatus.ERASED, LeadStatus.HELD}


@pytest.mark.parametrize(("current", "new"), list(product(WORKED, SETTABLE)))
def test_any_change_between_working_statuses_is_allowed(current: LeadStatus, new: LeadStatus) -> None:
    assert check_status_change(current, new, None) is (current is not new)
    assert emails_due(current, new) == ()


@pytest.mark.parametrize("new", SETTABLE)
def test_the_status_erased_is_final(new: LeadStatus) -> None:
    with pytest.raises(ConflictError, match="erased"):
        check_status_change(LeadStatus.ERASED, new, LeadStatus.ERASED)


def test_spam_can_only_become_received_which_makes_both_emails_due() -> None:
    for new in set(WORKED) - {LeadStatus.RECEIVED}:
        with pytest.raises(ConflictError, match="Release the lead from spam"):
            check_status_change(LeadStatus.SPAM, new, None)
    assert check_status_change(LeadStatus.SPAM, LeadStatus.RECEIVED, LeadStatus.SPAM)
    assert emails_due(LeadStatus.SPAM, LeadStatus.RECEIVED) == EMAIL_KINDS


def test_a_held_lead_is_released_or_spam_and_its_alert_is_the_digest() -> None:
    for new in set(WORKED) - {LeadStatus.RECEIVED}:
        with pytest.raises(ConflictError, match="is held"):
            check_status_change(LeadStatus.HELD, new, None)
    assert check_status_change(LeadStatus.HELD, LeadStatus.RECEIVED, LeadStatus.HELD)
    assert emails_due(LeadStatus.HELD, LeadStatus.RECEIVED) == ("welcome",)
    assert check_status_change(LeadStatus.HELD, LeadStatus.SPAM, LeadStatus.HELD)
    assert emails_due(LeadStatus.HELD, LeadStatus.SPAM) == ()


@pytest.mark.parametrize("new", SETTABLE)
def test_an_unexpected_current_status_is_refused(new: LeadStatus) -> None:
    with pytest.raises(ConflictError, match="in the meantime"):
        check_status_change(LeadStatus.WON, new, LeadStatus.RECEIVED)


@pytest.mark.parametrize("state", ["waiting", "dead", "unknown", "suppressed", "reserved", None])
def test_an_email_that_was_not_sent_can_be_resent(state: str | None) -> None:
    check_resend(LeadStatus.WON, "welcome", state, "ada@example.com")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (LeadStatus.SPAM, None),
        (LeadStatus.HELD, None),
        (LeadStatus.ERASED, "dead"),
        (LeadStatus.RECEIVED, "sent"),
    ],
)
def test_resend_is_refused_for_spam_erased_and_sent(status: LeadStatus, state: str | None) -> None:
    with pytest.raises(ConflictError):
        check_resend(status, "welcome", state, "ada@example.com")


@pytest.mark.parametrize(
    ("previous", "new", "undo"),
    [
        ("received", "contacted", "received"),
        ("won", "lost", "won"),
        ("received", "spam", None),  # to undo it would send mails
        ("won", "spam", None),
        ("spam", "received", None),  # the mails are on their way
        ("held", "received", None),
        ("held", "spam", None),
        ("won", "won", None),
    ],
)
def test_undo_is_offered_only_without_other_effects(previous: str, new: str, undo: str | None) -> None:
    assert undo_status(LeadStatus(previous), LeadStatus(new)) == undo


def test_confirmation_without_an_address_is_refused() -> None:
    with pytest.raises(ConflictError, match="no email address"):
        check_resend(LeadStatus.RECEIVED, "welcome", "suppressed", None)
    check_resend(LeadStatus.RECEIVED, "admin_alert", "dead", None)


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"name": "Ada", "email": "ada@example.com"}, "Ada"),
        ({"name": "\u200b", "email": "ada@example.com"}, "ada@example.com"),
        ({"name": None, "email": None, "phone": "+44 20"}, "+44 20"),
        ({"name": None, "email": None}, "Website visitor"),
        ({"name": "", "email": "", "status": LeadStatus.ERASED}, "Erased lead"),
    ],
)
def test_title_of_a_lead_is_never_invisible(fields: dict[str, str | None], title: str) -> None:
    assert lead_title(SimpleNamespace(**fields)) == title
