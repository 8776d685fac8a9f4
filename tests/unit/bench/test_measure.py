"""The output of a run of the bench, and when the run fails."""

from tests.bench.measure import Limit, Result, in_turns
from tests.bench.report import MARGIN, worse


def result(ours: list[float], reference: list[float], limit: Limit) -> Result:
    return Result("gateway", "bare", "leads/s", ours, reference, limit)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The machine was slow in the second round for both: that round's ratio does not know.
    seen = result([10, 1, 12], [10, 1, 10], Limit(at_least=1.1))
    assert seen.ratios == [1, 1, 1.2]
    assert seen.ratio == 1
    assert not seen.holds


def test_a_limit_holds_on_its_own_side() -> None:
    assert Limit(at_least=2).holds(2)
    assert not Limit(at_most=1.5).holds(1.6)


def test_only_what_became_worse_by_more_than_the_margin_is_a_fault() -> None:
    known = {("gateway", "bare"): 1.0}
    slow, fast = 1 - MARGIN - 0.01, 1 + MARGIN + 0.01
    assert worse([result([slow], [1], Limit(at_least=3))], known)
    assert not worse([result([slow + 0.02], [1], Limit(at_least=3))], known)
    assert not worse([result([fast], [1], Limit(at_least=3))], known)
    assert worse([result([fast], [1], Limit(at_most=1))], known)
    assert not worse([result([slow], [1], Limit(at_most=1))], {})


async def test_contenders_take_turns_and_change_their_order() -> None:
    said = list[str]()

    async def run(name: str) -> float:
        said.append(name)
        return len(said)

    figures = await in_turns({"a": lambda: run("a"), "b": lambda: run("b")}, 2)
    assert said == ["a", "b", "b", "a"]
    assert figures == {"a": [1, 4], "b": [2, 3]}
