"""The overview's headline: green only if no signal reports a disruption."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from services.admin.dashboard.disruptions import SIGNALS, Headline, Severity, Signals, make_headline
from services.admin.rules.spam_shares import SpamShare
from services.admin.schemas.held_leads import HeldSite
from services.admin.schemas.system import GatewaySpool, GroupLag, PartHealth
from services.admin.store.deliveries.recent_outcomes import RecentOutcomes
from tests.support.services.disruption_signals import (
    DOWN,
    NOW,
    down,
    gateway,
    job,
    make_health,
    make_stats,
    outcomes,
    queue_of,
    signals,
    site,
    target,
    unbalanced_ledger,
    warning,
)


@pytest.mark.parametrize(
    "good",
    [
        signals(),
        signals(recent=outcomes(welcome=(96, 4), admin_alert=(130, 0))),
        signals(recent=outcomes(welcome=(0, 4))),  # below MIN_EMAILS
        signals(stats=make_stats(stages=[queue_of(dead=500, waiting=3, oldest_open_age_seconds=3600.0)])),
        signals(stats=make_stats(gateways=[gateway(depth=40, oldest_age_seconds=3.0, damaged_files=0)])),
        signals(stats=make_stats(site_queues=[site(depth=4, oldest_queued_at=NOW, pulled=2)])),
        signals(destinations=[target(waiting=5), target(state="removed", dead=3)]),
    ],
)
def test_a_working_installation_has_no_disruption(good: Signals) -> None:
    assert make_headline(good) == Headline("All systems operational", "good", [])


@dataclass(frozen=True)
class Case:
    """Signals of which the one called `signal` reports `reason`."""

    signal: str
    signals: Signals
    reason: str
    severity: Severity = "bad"
    url: str = ""


EMAILS = "/admin/ui/workbench/items?stage=notifier"
DESTINATION = "/admin/ui/destinations#destination-crm"
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
        "paused stages",
        signals(stats=make_stats(stages=[queue_of(paused=True, pause_reason="100 of 200 were dead")])),
        "Email: paused: 100 of 200 were dead",
        url="#paused-notifier",
    ),
    Case(
        "team notifications",
        signals(recent=outcomes(welcome=(99, 0), admin_alert=(98, 1))),
        "Email: 1 team notification could not be delivered in the last hour",
        url=f"{EMAILS}&kind=admin_alert",
    ),
    Case(
        "emails",
        signals(recent=outcomes(welcome=(0, 9))),
        "Email: 9 of the last 9 emails could not be delivered",
        url=EMAILS,
    ),
    Case(
        "emails",
        signals(recent=outcomes(welcome=(2, 3))),
        "Email: 3 of the last 5 emails could not be delivered",
        url=EMAILS,
    ),
    Case(
        "emails",
        signals(recent=outcomes(welcome=(90, 40), admin_alert=(130, 0))),
        "Email: 40 of the last 260 emails could not be delivered",
        "amber",
        EMAILS,
    ),
    Case(
        "dead deliveries",
        signals(recent=RecentOutcomes(dead={"persister": 2})),
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
    Case(
        "gateways",
        signals(
            stats=make_stats(
                gateways=[GatewaySpool(url="g", address=None, state="unknown", status=None, reason="no")]
            )
        ),
        "Lead intake: gateway g: no",
        url="#h-gateways",
    ),
    Case(
        "gateways",
        signals(stats=make_stats(gateways=[gateway(depth=7, oldest_age_seconds=190.0)])),
        "Lead intake: gateway 10.0.0.1 has buffered 7 leads, the oldest for 3 min",
        "amber",
        "#h-gateways",
    ),
    Case(
        "gateways",
        signals(stats=make_stats(gateways=[gateway(damaged_files=1)])),
        "Lead intake: gateway 10.0.0.1 has 1 damaged file with leads",
        "amber",
        "#h-gateways",
    ),
    Case(
        "website queues",
        signals(stats=make_stats(site_queues=[site(reason="site queue answered 401")])),
        "Website queues: The Shop: site queue answered 401",
        url="#h-sites",
    ),
    Case(
        "website queues", signals(stats=make_stats(site_queues=[site(unreadable=1, damaged=2)])),
        "Website queues: The Shop: 3 entries cannot be read", "amber", "#h-sites",
    ),
    Case(
        "website queues", signals(stats=make_stats(site_queues=[site(refused=2)])),
        "Website queues: The Shop: 2 leads rejected by the last import",
        "amber", "/admin/ui/workbench/items?stage=site",
    ),
    Case(
        "website queues",
        signals(stats=make_stats(site_queues=[site(depth=4, oldest_queued_at=NOW - timedelta(hours=3))])),
        "Website queues: The Shop: 4 leads queued, the oldest for 3 h",
        "amber",
        "#h-sites",
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
        "spam",
        signals(spam=[SpamShare("studio", 40, 38, 300, 6, "honeypot")]),
        "Lead intake: 38 of 40 leads of studio in 24 hours are spam (most often: "
        "a hidden field was filled in). Check its form.", "amber", "/admin/ui/leads?status=spam",
    ),
    Case(
        "held leads",
        signals(held=[HeldSite(site="shop", leads=1, oldest_at=NOW, newest_at=NOW, reason="rate_ip")]),
        "Lead intake: 1 held lead of The Shop: release them, or mark them as spam", "amber", "/admin/ui/held",
    ),
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
    Case(
        "unknown signals", signals(destinations=None),
        "Database: the state of destinations is unknown", "amber",
    ),
    Case(
        "unknown signals",
        signals(health=make_health(mail=PartHealth(state="unknown", reason="the notifier does not say"))),
        "Mail server: status unknown: the notifier does not say",
    ),
    Case("unknown signals", signals(recent=None), "Database: the state of recent emails is unknown", "amber"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_regression_the_headline_reports_each_failure(case: Case) -> None:
    headline = make_headline(case.signals)
    assert [f"{each.component}: {each.reason}" for each in headline.disruptions] == [case.reason]
    assert [(each.severity, each.url) for each in headline.disruptions] == [(case.severity, case.url)]
    assert headline.style == case.severity
    assert headline.title == ("Service disruption" if case.severity == "bad" else "Needs attention")
    assert list(SIGNALS[case.signal](case.signals)) == headline.disruptions


def test_every_signal_has_a_case() -> None:
    assert {case.signal for case in CASES} == set(SIGNALS)


def test_the_worst_signal_decides_the_headline() -> None:
    paused = make_stats(stages=[queue_of(paused=True)], gateways=[gateway(depth=7, oldest_age_seconds=190.0)])
    headline = make_headline(signals(jobs=[job(overdue=True)], stats=paused))
    assert (headline.title, headline.style) == ("Service disruption", "bad")
    assert [each.severity for each in headline.disruptions] == ["bad", "amber", "amber"]
    assert headline.disruptions[0].url == "#paused-notifier"
