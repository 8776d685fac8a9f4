"""Ratios, their intervals, and what makes them too noisy to be reported."""

import pytest

from tests.bench.machine import Conditions
from tests.bench.measure import Limit, Result, in_turns

STEADY = [100.0, 101, 99, 100, 102, 100, 101, 100]


def result(ours: list[float], reference: list[float], limit: Limit, seen: Conditions | None = None) -> Result:
    return Result("gateway", "bare", "leads/s", ours, reference, limit, seen)


def test_a_ratio_is_the_median_of_the_turns_own_ratios() -> None:
    # The machine was slow in the second turn for both: that turn's ratio does not know.
    seen = result([10, 1, 12], [10, 1, 10], Limit(at_least=1.1))
    assert seen.ratios == [1, 1, 1.2]
    assert seen.ratio == 1


def test_a_limit_holds_on_its_own_side() -> None:
    assert Limit(at_least=2).holds(2)
    assert not Limit(at_most=1.5).holds(1.6)


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (Limit(at_least=0.9), "held"),
        (Limit(at_least=1.2), "falls short"),
        (Limit(at_least=1.0), "undecided"),
        (Limit(at_most=1.0), "undecided"),
        (Limit(), "no limit"),
    ],
)
def test_a_limit_is_held_only_by_the_whole_interval(limit: Limit, verdict: str) -> None:
    seen = result([95.0, 96, 98, 99, 101, 102, 104, 105], [100.0] * 7 + [100.1], limit)
    assert seen.interval
    assert seen.interval[0] < 1 < seen.interval[1]
    assert seen.verdict == verdict


def test_a_wide_interval_is_too_noisy_to_be_a_ratio() -> None:
    reference = [100.0, 140, 90, 150, 80, 120, 110, 70]
    seen = result(STEADY, reference, Limit(at_least=0.1))
    assert seen.verdict == "too noisy"
    assert "wide" in str(seen.too_noisy)
    assert seen.as_json()["ratio"] is None
    assert seen.as_json()["interval"]


def test_against_a_constant_the_side_of_the_interval_decides() -> None:
    times = [10.0, 16, 16, 10, 8, 12, 13, 9]
    limit = [150.0] * len(times)
    assert result(times, limit, Limit(at_most=1.0)).verdict == "held"
    assert result([10 * each for each in times], limit, Limit(at_most=1.0)).verdict == "undecided"


def test_a_contender_that_differs_from_itself_is_too_noisy() -> None:
    # Each repetition in a block is 10 % slower for both, so the ratio alone looks perfect.
    slowing = [100.0, 90, 101, 91, 99, 89, 100, 90]
    seen = result(slowing, slowing, Limit(at_least=0.9))
    assert seen.interval == (1, 1)
    assert seen.itself
    assert seen.itself[1] < 0.95
    assert seen.verdict == "too noisy"
    assert "repetition" in str(seen.too_noisy)


@pytest.mark.parametrize(("stolen", "others", "reason"), [(0.06, 0.0, "stolen"), (0.0, 0.06, "programs")])
def test_a_disturbed_comparison_is_too_noisy(stolen: float, others: float, reason: str) -> None:
    disturbed = Conditions(1, [], [], stolen, others, "")
    quiet = Conditions(1, [], [], 0.04, None, "")
    assert reason in str(result(STEADY, STEADY, Limit(at_least=0.9), disturbed).too_noisy)
    assert result(STEADY, STEADY, Limit(at_least=0.9), quiet).verdict == "held"


def test_what_is_measured_once_has_no_interval() -> None:
    seen = result([76.5], [74.1], Limit(at_most=1.2))
    assert (seen.interval, seen.itself, seen.verdict) == (None, None, "held")
    assert result([105.0], [78.0], Limit(at_most=1.2)).verdict == "falls short"


async def test_contenders_take_turns_in_blocks_a_b_b_a() -> None:
    said = list[str]()

    async def run(name: str) -> float:
        said.append(name)
        return len(said)

    figures = await in_turns({"a": lambda: run("a"), "b": lambda: run("b")}, 4)
    assert said == ["a", "b", "b", "a"] * 2
    assert figures == {"a": [1, 4, 5, 8], "b": [2, 3, 6, 7]}
