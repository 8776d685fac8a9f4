"""Which hop fails, from what the hops wrote: an observation each, and nothing that is only remembered."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import uuid4

import pytest

from services.admin.rules.canary_hops import DEADLINE, HopResult, SentCanary, route_status
from services.admin.schemas.canary import CanaryRoute

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FORM = ("gateway", "token", "form", "kafka")
WEBSITE = ("website", "token", "gateway")
BEHIND = ("persister", "postgresql", "notifier", "smtp", "webhooks", "destination:crm")
LATE = DEADLINE + timedelta(seconds=1)


def canary(
    *worked: str,
    age: timedelta = LATE,
    route: str = "form",
    failed: Mapping[str, str] = MappingProxyType({}),
    **more_failed: str,
) -> SentCanary:
    """Return a canary. `failed` and `more_failed` have the reasons of the hops that failed."""
    results = {hop: HopResult(True, "", 0.5, NOW) for hop in worked}
    results |= {hop: HopResult(False, reason, 0.5, NOW) for hop, reason in {**failed, **more_failed}.items()}
    return SentCanary(uuid4(), "studio", route, NOW - age, results)


def status(*canaries: SentCanary) -> CanaryRoute:
    worked = {hop: result for each in canaries for hop, result in each.results.items() if result.ok}
    return route_status(canaries, worked, NOW)


def states(route: CanaryRoute) -> dict[str, str]:
    return {each.hop: each.state for each in route.hops}


def failing(route: CanaryRoute) -> dict[str, tuple[int, str]]:
    return {each.hop: (each.failures, each.reason) for each in route.failing}


def test_a_canary_that_got_through_shows_that_each_hop_works() -> None:
    route = status(canary(*FORM, *BEHIND))
    assert (route.state, set(states(route)), set(states(route).values())) == ("ok", {*FORM, *BEHIND}, {"ok"})
    assert {each.seconds for each in route.hops} == {0.5}


@pytest.mark.parametrize(
    ("worked", "hop"),
    [((), "gateway"), (FORM[:1], "token"), (FORM[:2], "form"), (FORM[:3], "kafka")],
)
def test_what_the_post_shows_is_the_only_failure(worked: tuple[str, ...], hop: str) -> None:
    route = status(canary(*worked, failed={hop: "HTTP 503"}), canary(*worked, failed={hop: "HTTP 502"}))
    assert failing(route) == {hop: (2, "HTTP 503")}
    assert states(route)["smtp"] == "unreached"


@pytest.mark.parametrize("silent", ["persister", "notifier", "webhooks"])
def test_a_service_that_writes_nothing_in_time_is_named(silent: str) -> None:
    branch = {"persister": "postgresql", "notifier": "smtp", "webhooks": "destination:crm"}
    rest = [hop for hop in BEHIND if hop not in (silent, branch[silent])]
    route = status(canary(*FORM, *rest))
    assert failing(route) == {silent: (1, "wrote nothing within 90 s")}
    assert status(canary(*FORM, *rest, age=timedelta(seconds=5))).state == "waiting"


@pytest.mark.parametrize("hop", ["postgresql", "smtp", "destination:crm"])
def test_a_server_behind_a_service_is_named_with_its_answer(hop: str) -> None:
    rest = [each for each in BEHIND if each != hop]
    assert failing(status(canary(*FORM, *rest, failed={hop: "its answer"}))) == {hop: (1, "its answer")}


def test_a_notifier_that_pauses_for_the_mail_server_is_not_silent() -> None:
    route = status(canary(*FORM, "persister", "postgresql", "webhooks", smtp="smtp silent at connect"))
    assert failing(route) == {"smtp": (1, "smtp silent at connect")}
    assert states(route)["notifier"] == "unreached"


def test_failures_count_up_to_the_newest_canary_that_is_through() -> None:
    bad, good = canary(*FORM[:3], kafka="disk"), canary(*FORM, *BEHIND)
    new = canary(*FORM, age=timedelta(seconds=3))
    assert failing(status(new, bad, bad, good)) == {"kafka": (2, "disk")}
    assert failing(status(new, good, bad, bad)) == {}
    # The gateway fails now: whether the mail server still does, nobody knows.
    assert failing(status(canary(gateway="HTTP 502"), canary(*FORM, "notifier", smtp="421"))) == {
        "gateway": (1, "HTTP 502")
    }


def test_through_a_website_kafka_works_if_any_service_reads_the_record() -> None:
    assert states(status(canary(*WEBSITE, "webhooks", route="website")))["kafka"] == "ok"
    route = status(canary(*WEBSITE, route="website"))
    assert failing(route) == {"kafka": (1, "no service read the record within 90 s")}
    assert states(route)["persister"] == "unreached"
    assert status(canary(*WEBSITE, route="website", age=timedelta(0))).state == "waiting"


def test_a_flusher_that_ended_before_the_result_of_its_post_is_named() -> None:
    assert failing(status(canary())) == {"flusher": (1, "wrote nothing within 90 s")}
    assert status(canary(age=timedelta(seconds=1))).state == "waiting"
