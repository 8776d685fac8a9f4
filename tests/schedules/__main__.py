"""`python -m tests.schedules`: run schedules of the consumers, and explain the ones that break a promise."""

import os
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from typing import Annotated, Final

import typer

from tests.schedules.broken import BROKEN, broken, find
from tests.schedules.plan import Plan, draw_plan
from tests.schedules.shrink import shrink
from tests.schedules.stages import STAGES
from tests.schedules.world import Outcome, run_plan

# Sets and dictionaries of texts have one order in every process only with a fixed hash.
_HASH_SEED: Final = "0"


def _use_fixed_hashes() -> None:
    """Start this program again with a fixed hash seed, unless it has one."""
    if os.environ.get("PYTHONHASHSEED") != _HASH_SEED:
        os.environ["PYTHONHASHSEED"] = _HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.schedules", *sys.argv[1:]])  # noqa: S606


def quiet() -> None:
    """Report nothing about the coroutines of killed processes, which never end."""
    warnings.simplefilter("ignore", RuntimeWarning)
    warnings.simplefilter("ignore", ResourceWarning)
    sys.unraisablehook = lambda _: None


def _plan_of(stage: str, seed: int) -> Plan:
    return draw_plan(seed, STAGES[stage].shapes, STAGES[stage].draw_fault)


def stage_of(fault: str) -> str:
    """Return the stage whose schedules show a fault, or the persister if there is none."""
    return BROKEN[fault].stage if fault else "persister"


def run_seed(stage: str, seed: int, fault: str = "") -> Outcome:
    """Run the schedule of a seed, with the product broken by `fault` if it is set."""
    quiet()
    with broken(fault):
        return run_plan(_plan_of(stage, seed), STAGES[stage])


def _summarize(stage: str, seed: int, fault: str) -> tuple[int, list[str], float, int]:
    outcome = run_seed(stage, seed, fault)
    return seed, outcome.violations, outcome.seconds, outcome.records


def main(
    *,
    stage: Annotated[
        str,
        typer.Option(help="The stage, by default the persister or that of --break: " + ", ".join(STAGES)),
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Run this schedule alone, and print its history.")] = None,
    schedules: Annotated[int, typer.Option(help="How many schedules.")] = 0,
    minutes: Annotated[float, typer.Option(help="How long, if there is no number of schedules.")] = 1.0,
    first: Annotated[int, typer.Option(help="The first seed.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes beside each other.")] = os.cpu_count() or 1,
    break_: Annotated[str, typer.Option("--break", help="Break the product so: " + ", ".join(BROKEN))] = "",
    known: Annotated[
        bool, typer.Option("--known", help="Put each known fault back, and show what finds it.")
    ] = False,
    only: Annotated[str, typer.Option(help="With --known: this fault alone.")] = "",
) -> None:
    """Exits with 1 if a schedule broke a promise; its seed, its shortest form and its end are printed."""
    if known:
        quiet()
        for name in [only] if only else BROKEN:
            found_by, violation = find(name)
            typer.echo(f"{name}: seed {found_by}: {violation}")
        return
    stage = stage or stage_of(break_)
    if seed is not None:
        outcome = run_seed(stage, seed, break_)
        typer.echo(f"{outcome.plan}\n\n{outcome.history}\n")
        typer.echo("\n".join(outcome.violations) or "every promise was kept")
        sys.exit(1 if outcome.violations else 0)
    began, ran, records, longest = time.monotonic(), 0, 0, 0.0
    for found, violations, seconds, published in _run_many(
        stage, break_, first, schedules, minutes * 60, jobs
    ):
        ran, records, longest = ran + 1, records + published, max(longest, seconds)
        if violations:
            _explain(stage, found, break_)
            sys.exit(1)
    took = time.monotonic() - began
    typer.echo(
        f"{ran:,} schedules of {stage}, {records:,} records, no promise broken; at most {longest:.0f} s of"
        f" virtual time each; {took:.0f} s, {ran / took * 3600:,.0f} schedules an hour,"
        f" {resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime / ran:.2f} s of processor time each"
    )


def _run_many(
    stage: str, fault: str, first: int, schedules: int, seconds: float, jobs: int
) -> Iterator[tuple[int, list[str], float, int]]:
    """Yield the summary of each schedule, until there are enough, or the time is over."""
    ends = time.monotonic() + seconds
    seeds = iter(range(first, first + schedules) if schedules else count(first))
    with ProcessPoolExecutor(jobs) as pool:
        running = [pool.submit(_summarize, stage, each, fault) for each in islice(seeds, 2 * jobs)]
        while running:
            yield running.pop(0).result()
            if schedules or time.monotonic() < ends:
                running += [pool.submit(_summarize, stage, each, fault) for each in islice(seeds, 1)]


def _explain(stage: str, seed: int, fault: str) -> None:
    """Print the shortest plan that breaks the same promise, and the end of its history."""
    with broken(fault):
        quiet()
        outcome = shrink(_plan_of(stage, seed), STAGES[stage])
    typer.echo(f"{outcome.plan}\n\n{outcome.history.tail()}\n")
    typer.echo("\n".join(outcome.violations[:10]))
    again = f"python -m tests.schedules --stage {stage} --seed {seed}" + (
        f" --break {fault}" if fault else ""
    )
    typer.echo(f"\nagain, with all events and the whole history: {again}")


if __name__ == "__main__":
    _use_fixed_hashes()
    typer.run(main)
