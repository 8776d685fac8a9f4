"""The conditions of a list of leads, and the store's filter that they give."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from contracts.leads import LeadStatus
from services.admin.schemas.lead_conditions import ME, NOBODY, LeadConditions
from services.admin.schemas.periods import midnight

KOLKATA = ZoneInfo("Asia/Kolkata")


def test_several_statuses_are_all_in_the_filter() -> None:
    both = (LeadStatus.RECEIVED, LeadStatus.CONTACTED)
    chosen = LeadConditions(status=both).to_filter(KOLKATA, "ann")
    assert chosen.status_filter == both
    assert (chosen.selection()["status"], chosen.selection()["statuses"]) == (None, both)
    one = LeadConditions(status=both[:1]).to_filter(KOLKATA, "ann").selection()
    assert (one["status"], one["statuses"]) == ("received", None)


def test_a_period_is_that_of_the_current_day_in_the_zone() -> None:
    yesterday = datetime.now(KOLKATA).date() - timedelta(days=1)
    chosen = LeadConditions(received="yesterday").to_filter(KOLKATA, "ann")
    assert chosen.since == midnight(yesterday, KOLKATA)
    assert chosen.until == midnight(yesterday, KOLKATA, days=1)


def test_a_period_and_dates_must_both_match() -> None:
    today = datetime.now(KOLKATA).date()
    chosen = LeadConditions(received="last_7_days", since=date(2020, 1, 1), until=today - timedelta(days=2))
    selected = chosen.to_filter(KOLKATA, "ann")
    assert selected.since == midnight(today - timedelta(days=6), KOLKATA)
    assert selected.until == midnight(today - timedelta(days=1), KOLKATA)


@pytest.mark.parametrize(
    ("typed", "stored", "assignee", "unassigned"),
    [
        ("Unassigned", NOBODY, None, True),
        ("me", ME, "ann", False),
        (NOBODY, NOBODY, None, True),
        (" Bob ", "Bob", "Bob", False),
    ],
)
def test_the_assignee_may_be_who_looks_or_nobody(
    typed: str, stored: str, assignee: str | None, unassigned: bool
) -> None:
    conditions = LeadConditions(assignee=typed)
    assert conditions.assignee == stored
    chosen = conditions.to_filter(KOLKATA, "ann")
    assert (chosen.assignee, chosen.unassigned) == (assignee, unassigned)


def test_waiting_leads_are_new_and_old_enough() -> None:
    chosen = LeadConditions(waiting=24).to_filter(KOLKATA, "ann")
    assert chosen.status_filter == (LeadStatus.RECEIVED,)
    assert chosen.until is not None
    assert abs(datetime.now(UTC) - chosen.until - timedelta(days=1)) < timedelta(seconds=5)


def test_only_the_filters_that_are_set_are_named() -> None:
    conditions = LeadConditions(status=(LeadStatus.WON,), since=date(2026, 1, 2), sort="name")
    assert conditions.conditions() == {"status": ["won"], "since": "2026-01-02"}


@pytest.mark.parametrize(
    "fields",
    [{"status": ["nonsense"]}, {"received": "next_week"}, {"site": "x" * 256}, {"status": ["won"] * 9}],
)
def test_unknown_and_long_values_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LeadConditions.model_validate(fields)
