"""Which alerts are collected: those beyond the limit of a burst, and those of a site with a schedule."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.leads import LeadReceived
from services.notifier.alert_collection import AlertCollection
from services.notifier.mail.alert_schedule import IMMEDIATE, AlertSchedule
from tests.support.factories import lead

NOW = datetime(2026, 7, 1, 13, 20, tzinfo=UTC)
HOURLY = AlertSchedule("hourly")


def collection(schedule: AlertSchedule = IMMEDIATE, limit: int = 2) -> AlertCollection:
    return AlertCollection(
        NOW, limit, 600.0, lambda _: schedule, lambda each: (each.site, f"{each.service}@studio.example")
    )


def due_times(rules: AlertCollection, *leads: LeadReceived) -> list[datetime | None]:
    return [rules.due_at(each) for each in leads]


def test_alerts_beyond_the_limit_are_collected_for_ten_minutes() -> None:
    due = NOW + timedelta(minutes=10)
    assert due_times(collection(), lead(), lead(), lead(), lead()) == [None, None, due, due]


def test_recent_alerts_count_and_an_open_digest_lists_further_ones() -> None:
    rules = collection()
    asking = lead()
    rules.recent[rules.group_of(asking)] = 2
    rules.next_digests["default"] = NOW + timedelta(minutes=3)
    assert rules.due_at(asking) == NOW + timedelta(minutes=3)


def test_each_site_and_each_set_of_recipients_has_its_own_limit() -> None:
    rules = collection(limit=1)
    others = [lead(), lead(site="studio"), lead(service="Hosting")]
    assert due_times(rules, *others) == [None, None, None]
    assert all(due_times(rules, *others))


def test_no_limit_collects_nothing() -> None:
    assert due_times(collection(limit=0), *[lead()] * 100) == [None] * 100


def test_a_schedule_collects_every_new_lead() -> None:
    assert due_times(collection(HOURLY, limit=0), lead()) == [datetime(2026, 7, 1, 14, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("state", "waits"),
    [("suppressed", True), ("reserved", False), ("waiting", False), ("dead", False), ("unknown", False)],
)
def test_only_a_released_lead_waits_for_the_schedule_when_it_is_retried(state: str, waits: bool) -> None:
    assert bool(collection(HOURLY).due_at_of_retry(lead(), state)) == waits


@pytest.mark.parametrize(("state", "waits"), [("dead", True), ("reserved", False)])
def test_many_retries_are_a_burst_but_not_mails_that_a_dead_process_left(state: str, waits: bool) -> None:
    rules = collection(limit=1)
    assert rules.due_at_of_retry(lead(), state) is None
    assert bool(rules.due_at_of_retry(lead(), state)) == waits
