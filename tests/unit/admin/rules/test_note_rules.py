"""Who may change a note."""

import pytest

from contracts.leads import LeadStatus
from services.admin.rules.errors import ConflictError
from services.admin.rules.note_rules import NOTES_MAX, check_new, may_change


def test_the_author_and_the_actor_admin_may_change_a_note() -> None:
    assert may_change("ann", "ann")
    assert may_change("ann", "admin")
    assert not may_change("ann", "bob")
    assert not may_change("admin", "bob")


def test_an_erased_lead_and_a_full_one_take_no_notes() -> None:
    check_new(LeadStatus.SPAM, NOTES_MAX - 1)
    for status, count in ((LeadStatus.ERASED, 0), (LeadStatus.RECEIVED, NOTES_MAX)):
        with pytest.raises(ConflictError):
            check_new(status, count)
