"""Disruptions of gateways and website queues, and sites with much spam or held leads."""

from datetime import timedelta

import pytest

from services.admin.dashboard.disruptions import intake
from services.admin.rules.spam_shares import SpamShare
from services.admin.schemas.held_leads import HeldSite
from services.admin.schemas.system import GatewaySpool
from tests.support.services.disruption_signals import (
    NOW,
    Case,
    check_case,
    gateway,
    make_stats,
    signals,
    signals_of,
    site,
)

CASES = [
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
        "spam",
        signals(spam=[SpamShare("studio", 40, 38, 300, 6, "honeypot")]),
        "Lead intake: 38 of 40 leads of studio in 24 hours are spam (most often: "
        "a hidden field was filled in). Check its form.", "amber", "/admin/ui/leads?status=spam",
    ),
    Case(
        "held leads",
        signals(held=[HeldSite(site="shop", leads=1, oldest_at=NOW, newest_at=NOW, reason="rate_ip")]),
        "Lead intake: 1 held lead of The Shop: release it, or mark it as spam", "amber", "/admin/ui/held",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_regression_the_headline_reports_each_failure(case: Case) -> None:
    check_case(case)


def test_every_signal_has_a_case() -> None:
    assert {case.signal for case in CASES} == signals_of(intake)
