"""Disruptions of destinations, which receive the events of leads."""

import pytest

from services.admin.dashboard.disruptions import destinations
from tests.support.services.disruption_signals import (
    Case,
    check_case,
    signals,
    signals_of,
    target,
)

DESTINATION = "/admin/ui/destinations#destination-crm"
CASES = [
    Case(
        "destinations",
        signals(destinations=[target(state="paused", reason="destination answered 500")]),
        "Destinations: crm is paused: the destination did not accept it", "amber", DESTINATION,
    ),
    Case(
        "destinations",
        signals(destinations=[target(state="disabled", reason="destination answered 410")]),
        "Destinations: crm is disabled: the destination did not accept it", "bad", DESTINATION,
    ),
    Case(
        "destinations",
        signals(destinations=[target(state="disabled", reason="disabled by ann")]),
        "Destinations: crm was disabled by ann", "amber", DESTINATION,
    ),
    Case(
        "destinations", signals(destinations=[target(dead=2)]),
        "Destinations: crm: 2 deliveries have no retries left", "amber", DESTINATION,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_regression_the_headline_reports_each_failure(case: Case) -> None:
    check_case(case)


def test_every_signal_has_a_case() -> None:
    assert {case.signal for case in CASES} == signals_of(destinations)
