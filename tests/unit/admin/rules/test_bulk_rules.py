"""Which leads an action on many leads can change."""

import pytest

from contracts.leads import LeadStatus
from services.admin.rules.bulk_rules import is_unchanged, refusal, refused_groups


@pytest.mark.parametrize(
    ("action", "value", "status", "words"),
    [
        ("status", "won", "received", None),
        ("status", "won", "spam", "Release the lead from spam"),
        ("status", "won", "held", "is held"),
        ("status", "received", "spam", None),
        ("status", "won", "erased", "is erased"),
        ("assign", "ann", "spam", None),
        ("assign", None, "erased", "is erased"),
        ("erase", None, "erased", None),
    ],
)
def test_an_action_is_refused_by_the_rules_of_one_lead(
    action: str, value: str | None, status: str, words: str | None
) -> None:
    why = refusal(action, value, LeadStatus(status))  # type: ignore[arg-type]
    assert (why is None) if words is None else (why is not None and words in why)


def test_refused_leads_are_counted_by_status() -> None:
    counts = {LeadStatus.RECEIVED: 7, LeadStatus.SPAM: 2, LeadStatus.ERASED: 1}
    groups = refused_groups("status", "contacted", counts)
    assert [(group.status, group.leads) for group in groups] == [("spam", 2), ("erased", 1)]


@pytest.mark.parametrize(
    ("action", "value", "status", "assignee", "unchanged"),
    [
        ("status", "won", "won", None, True),
        ("status", "won", "lost", None, False),
        ("assign", "ann", "won", "ann", True),
        ("assign", None, "won", "", True),
        ("assign", None, "won", "ann", False),
        ("erase", None, "erased", None, True),
    ],
)
def test_a_lead_that_is_already_so_is_unchanged(
    action: str, value: str | None, status: str, assignee: str | None, unchanged: bool
) -> None:
    assert is_unchanged(action, value, LeadStatus(status), assignee) is unchanged  # type: ignore[arg-type]
