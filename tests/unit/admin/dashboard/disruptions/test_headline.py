"""The overview's headline: green only if no signal reports a disruption."""

import pytest

from services.admin.dashboard.disruptions.headline import Headline, make_headline
from services.admin.dashboard.disruptions.signals import Signals
from tests.support.services.disruption_signals import (
    NOW,
    emails_of,
    gateway,
    job,
    make_stats,
    queue_of,
    rates,
    signals,
    site,
    target,
)


@pytest.mark.parametrize(
    "good",
    [
        signals(),
        signals(emails=rates(emails_of("welcome", *["sent"] * 5, sent=96, dead=4))),
        signals(emails=rates(emails_of("welcome", *["dead"] * 4, dead=4))),  # below MIN_FAILED
        signals(emails=rates(emails_of("welcome", *["sent"] * 5, sent=5, dead=160))),  # healed
        signals(stats=make_stats(stages=[queue_of(dead=500, waiting=3, oldest_open_age_seconds=3600.0)])),
        signals(stats=make_stats(gateways=[gateway(depth=40, oldest_age_seconds=3.0, damaged_files=0)])),
        signals(stats=make_stats(site_queues=[site(depth=4, oldest_queued_at=NOW, pulled=2)])),
        signals(destinations=[target(waiting=5), target(state="removed", dead=3)]),
    ],
)
def test_a_working_installation_has_no_disruption(good: Signals) -> None:
    assert make_headline(good) == Headline("All systems operational", "good", [])


def test_the_worst_signal_decides_the_headline() -> None:
    paused = make_stats(stages=[queue_of(paused=True)], gateways=[gateway(depth=7, oldest_age_seconds=190.0)])
    headline = make_headline(signals(jobs=[job(overdue=True)], stats=paused))
    assert (headline.title, headline.style) == ("Service disruption", "bad")
    assert [each.severity for each in headline.disruptions] == ["bad", "amber", "amber"]
    assert headline.disruptions[0].url == "#paused-notifier"
