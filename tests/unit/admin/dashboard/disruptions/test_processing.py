"""Disruptions of failed deliveries, the ledger and the consumers."""

import pytest

from services.admin.dashboard.disruptions import processing
from services.admin.schemas.system import GroupLag
from services.admin.store.deliveries.recent_outcomes import RecentOutcomes
from tests.support.services.disruption_signals import (
    Case,
    check_case,
    make_stats,
    queue_of,
    signals,
    signals_of,
    unbalanced_ledger,
)

EMAILS = "/admin/ui/workbench/items?stage=notifier"
CASES = [
    Case(
        "dead deliveries",
        signals(recent=RecentOutcomes({"persister": 2})),
        "Storage: 2 deliveries failed permanently in the last hour",
        url="/admin/ui/workbench/items?stage=persister&state=dead",
    ),
    Case(
        "old deliveries",
        signals(stats=make_stats(stages=[queue_of(oldest_open_age_seconds=4.5 * 3600)])),
        "Email: a failed delivery has been waiting for 4 h",
        "amber",
        f"{EMAILS}&state=waiting",
    ),
    Case(
        "ledger",
        signals(stats=make_stats(books=unbalanced_ledger())),
        "Data integrity: the counts of the processing steps and the database differ",
        url="#h-integrity",
    ),
    Case(
        "consumer lag",
        signals(
            stats=make_stats(
                groups=[GroupLag(group="fastcore.persister", lag=None, topics=None, reason="timeout")]
            )
        ),
        "Storage: consumer lag unknown: timeout",
        url="#h-lag",
    ),
    Case(
        "consumer lag",
        signals(
            stats=make_stats(
                groups=[GroupLag(group="fastcore.persister", lag=9, topics={}, oldest_seconds=430.0)]
            )
        ),
        "Storage: 9 records to process, the oldest for 7 min",
        url="#h-lag",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_regression_the_headline_reports_each_failure(case: Case) -> None:
    check_case(case)


def test_every_signal_has_a_case() -> None:
    assert {case.signal for case in CASES} == signals_of(processing)
