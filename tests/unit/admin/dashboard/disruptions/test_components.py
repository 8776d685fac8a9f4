"""Disruptions of dependencies, services and scheduled jobs, each with its reason."""

import pytest

from services.admin.dashboard.disruptions import components
from services.admin.schemas.system import PartHealth
from tests.support.services.disruption_signals import (
    DOWN,
    Case,
    check_case,
    down,
    job,
    make_health,
    make_stats,
    queue_of,
    signals,
    signals_of,
    warning,
)

CASES = [
    Case("components", signals(health=make_health(broker=DOWN)), "Kafka: no answer (ConnectError)"),
    Case(
        "components",
        signals(health=make_health(database=DOWN), stats=make_stats(stages=None, books=None), recent=None),
        "Database: no answer (ConnectError)",
    ),
    Case(
        "components",
        signals(health=make_health(services={"notifier": down(smtp="535")})),
        "Email: unavailable · smtp: 535",
    ),
    Case(
        "components",
        signals(
            health=make_health(database=PartHealth(state="down", reason="database answered 42501")),
            stats=make_stats(stages=None, books=None),
            recent=None,
        ),
        "Database: the database answered with an error (database answered 42501)",
    ),
    Case(
        "components",
        signals(health=make_health(services={"persister": down(consumer="paused: database answered 42501")})),
        "Storage: unavailable · consumer:"
        " paused: the database answered with an error (database answered 42501)",
    ),
    Case(
        "paused stages",
        signals(stats=make_stats(stages=[queue_of(paused=True, pause_reason="100 of 200 were dead")])),
        "Email: paused: 100 of 200 were dead",
        url="#paused-notifier",
    ),
    Case(
        "service warnings",
        signals(
            health=make_health(services={"ingest": warning(sites_file="warning: line 3. The version before")})
        ),
        "Lead intake: sites file: line 3. The version before",
        "amber",
    ),
    Case(
        "jobs",
        signals(jobs=[job(overdue=True)]),
        "Automatic retries: the next run is overdue", "amber", "/admin/ui/jobs",
    ),
    Case(
        "jobs", signals(jobs=[job(last_outcome="failed")]),
        "Automatic retries: the last run failed", "amber", "/admin/ui/jobs",
    ),
    Case(
        "unknown signals", signals(destinations=None),
        "Database: the state of destinations is unknown", "amber",
    ),
    Case(
        "unknown signals",
        signals(health=make_health(mail=PartHealth(state="unknown", reason="the notifier does not say"))),
        "Mail server: status unknown: the notifier does not say",
    ),
    Case(
        "unknown signals", signals(recent=None),
        "Database: the state of recent failures is unknown", "amber",
    ),
    Case("unknown signals", signals(emails=None), "Database: the state of recent emails is unknown", "amber"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_regression_the_headline_reports_each_failure(case: Case) -> None:
    check_case(case)


def test_every_signal_has_a_case() -> None:
    assert {case.signal for case in CASES} == signals_of(components)
