"""Where a comparison runs."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.bench import __main__ as bench_main
from tests.bench import performance_page, placement, plots
from tests.bench.environment import BenchEnvironment
from tests.bench.measure import Limit, Result
from tests.bench.placement import CORES
from tests.support.stack import Stack

BENCH = BenchEnvironment(
    Stack("", "", "", "", "Kafka: embedded; PostgreSQL: embedded"), Path(), quick=True, turns=4, say=print
)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], Any]]:
    """Pretend that there are the cores 0 and 1, move nothing, and record where what would have run."""
    moved = list[tuple[list[int], Any]]()

    async def comparison(bench: BenchEnvironment) -> list[Result]:
        moved[-1] = (moved[-1][0], bench.measured)
        return [Result("what", "against", "ms", [1.0], [1.0], Limit())]

    monkeypatch.setattr(bench_main, "CORES", [0, 1])
    monkeypatch.setattr(placement, "CORES", [0, 1])
    monkeypatch.setattr(placement, "move_all", lambda cores: moved.append((cores, None)))
    monkeypatch.setattr(bench_main, "COMPARISONS", {"gateway-core": comparison, "way": comparison})
    return moved


def test_one_process_is_measured_on_a_core_of_its_own(two_cores: list[tuple[list[int], Any]]) -> None:
    results, seen = bench_main._compare(BENCH, "gateway-core", pin=True)
    assert two_cores == [([1], [0])]
    assert seen.placement == placement.MEASURED_ALONE
    assert [result.conditions for result in results] == [seen]


@pytest.mark.parametrize(
    ("bench", "name", "pin"),
    [
        (BENCH, "way", True),
        (BENCH, "gateway-core", False),
        (replace(BENCH, stack=Stack("", "", "", "", "given")), "gateway-core", True),
    ],
    ids=["several processes", "--no-pin", "servers of others"],
)
def test_nothing_is_pinned_in_any_other_comparison(
    bench: BenchEnvironment, name: str, pin: bool, two_cores: list[tuple[list[int], Any]]
) -> None:
    before = os.sched_getaffinity(0)
    _, seen = bench_main._compare(bench, name, pin=pin)
    assert two_cores == [([0, 1], [0, 1])]
    assert seen.placement == placement.NOT_PINNED
    assert (seen.others is None) is (bench is not BENCH)
    assert os.sched_getaffinity(0) == before
    assert len(seen.before) == len(CORES)


@pytest.mark.parametrize("keep", [True, False])
def test_a_run_draws_curves_only_if_it_becomes_the_known_one(
    keep: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draws, drawn = list[bool](), list[Any]()

    async def comparison(bench: BenchEnvironment) -> list[Result]:
        draws.append(bench.draws)
        return [Result("what", "against", "ms", [1.0], [1.0], Limit())]

    monkeypatch.setattr(bench_main, "COMPARISONS", {"way": comparison})
    monkeypatch.setattr(bench_main, "running_stack", lambda *_, **__: contextlib.nullcontext(BENCH.stack))
    monkeypatch.setattr(plots, "draw", drawn.append)
    monkeypatch.setattr(performance_page, "write", drawn.append)
    monkeypatch.setenv("FASTCORE_TEST_PARTS", "embedded")
    bench_main.main(
        quick=False, only=["way"], out=tmp_path / "out.json", keep=keep, turns=2, pin=True,
        known=tmp_path / "known.json",
    )  # fmt: skip
    assert draws == [keep]
    assert len(drawn) == (2 if keep else 0)


@pytest.mark.parametrize(
    ("only", "found"),
    [
        (["gateway"], ["gateway-core", "gateway-machine"]),
        (["gateway-machine", "gateway"], ["gateway-machine", "gateway-core"]),
        (["way"], ["way"]),
    ],
)
def test_a_name_before_a_hyphen_chooses_all_that_begin_with_it(
    only: list[str], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_main, "COMPARISONS", dict.fromkeys(["gateway-core", "gateway-machine", "way"]))
    assert bench_main._chosen(only) == found


def test_an_unknown_comparison_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(typer.BadParameter, match="no workers; choose of: gateway-core, way"):
        bench_main._chosen(["workers"])
