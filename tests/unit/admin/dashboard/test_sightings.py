"""Which disruptions become incidents, and their keys."""

from dataclasses import replace

from services.admin.dashboard.disruptions.headline import SIGNALS
from services.admin.dashboard.sightings import NO_INCIDENTS, find_sightings
from tests.support.services.disruption_signals import emails_of, gateway, make_stats, queue_of, rates, signals
from tests.unit.admin.dashboard.disruptions import (
    test_components,
    test_destinations,
    test_emails,
    test_intake,
    test_processing,
)

CASES = [
    *test_components.CASES,
    *test_processing.CASES,
    *test_emails.CASES,
    *test_intake.CASES,
    *test_destinations.CASES,
]


def test_every_failure_but_a_decision_about_leads_becomes_an_incident() -> None:
    assert set(SIGNALS) >= NO_INCIDENTS
    for case in CASES:
        found = find_sightings(case.signals)
        assert len(found) == (0 if case.signal in NO_INCIDENTS else 1), case.reason
        if found:
            assert f"{found[0].component}: {found[0].reason}" == case.reason
            assert not found[0].url.startswith("#"), "the overview and the API need the page too"


def test_the_key_stays_while_the_numbers_change() -> None:
    early, late = (
        find_sightings(signals(emails=rates(emails_of("welcome", *newest, sent=90, dead=failed))))
        for newest, failed in ((["dead", "sent"], 40), (["dead"] * 5, 91))
    )
    assert [each.key for each in early] == [each.key for each in late]
    assert [each.severity for each in early + late] == ["amber", "bad"]
    assert [each.affected_leads for each in early + late] == [40, 91]


def test_gateways_have_an_incident_each() -> None:
    spool = gateway(depth=7, oldest_age_seconds=190.0)
    gateways = [spool, spool.model_copy(update={"address": "10.0.0.2"})]
    found = find_sightings(signals(stats=make_stats(gateways=gateways)))
    assert len({each.key for each in found}) == 2
    assert [each.affected_leads for each in found] == [7, 7]


def test_a_paused_stage_affects_what_waits_for_it() -> None:
    paused = replace(signals(), stats=make_stats(stages=[queue_of(paused=True)]))
    assert [each.affected_leads for each in find_sightings(paused)] == [3]
