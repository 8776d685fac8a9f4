"""`python -m tests.bench`: every speed claim as a ratio, measured in turns in one run."""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from deploy.embedded.settings import ROOT
from tests.bench import (
    consumers,
    end_to_end_latency,
    gateway,
    isolation,
    memory,
    notifier,
    performance_page,
    persister,
    placement,
    plots,
    report,
    startup_time,
)
from tests.bench.environment import BenchEnvironment
from tests.bench.machine import Conditions, Watch
from tests.bench.measure import Result
from tests.bench.placement import CORES
from tests.bench.references import outpost as outposts
from tests.support.stack import running_stack

Compare = Callable[[BenchEnvironment], Coroutine[Any, Any, list[Result]]]
COMPARISONS: Final[dict[str, Compare]] = {
    "gateway-core": gateway.compare_per_core,
    "gateway-machine": gateway.compare_per_machine,
    "persister": persister.compare,
    "consumers": consumers.compare,
    "notifier": notifier.compare,
    "way": end_to_end_latency.compare,
    "isolation": isolation.compare,
    "memory": memory.compare,
    "start": startup_time.compare,
}
# In these, one process is compared with one other: each alone on a core. In the others, several processes of
# FASTCore work together, and nothing is pinned.
ONE_PROCESS: Final = {"gateway-core", "persister", "notifier", "start"}
# Too slow for a quick run: memory growth, several group members, and a p99 of few leads a second.
FULL_ONLY: Final = {"consumers", "memory", "isolation"}
LAST: Final = ROOT / ".fastcore" / "bench" / "results.json"


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="Shorter loads and fewer turns: under 5 minutes.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Any of: {', '.join(COMPARISONS)}; gateway is both of its own.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = LAST,
    keep: Annotated[
        bool, typer.Option("--keep", help="Make this the known run, and draw its curves.")
    ] = False,
    turns: Annotated[
        int | None,
        typer.Option(min=2, help="Of each contender, an even number; by default 8, in a quick run 4."),
    ] = None,
    pin: Annotated[bool, typer.Option(help="Measure single processes on a core of their own.")] = True,
    outpost: Annotated[
        Path | None,
        typer.Option(help="The folder with Outpost's programs, to compare the gateway with its endpoint."),
    ] = None,
    known: Annotated[Path, typer.Option(help="The run that this one must not be worse than.")] = report.KNOWN,
) -> None:
    """Measure FASTCore against the usual ways to build its parts, and against their limits.

    Every figure is a ratio of two things measured alternately. Ends with 1 where a ratio is worse than the
    known one by more than the margin, and their intervals do not overlap. The table names each limit that was
    exceeded, and each ratio that is too noisy to be reported.
    """
    console = Console(width=None if sys.stdout.isatty() else 160)
    names = _chosen(only) if only else [name for name in COMPARISONS if not (quick and name in FULL_ONLY)]
    os.environ.setdefault("FASTCORE_TEST_PARTS", "embedded")
    turns = turns or (4 if quick else 8)
    if turns % 2:
        raise typer.BadParameter("two turns are a block, A B B A: give an even number")
    if outpost and (missing := outposts.missing(outpost)):
        raise typer.BadParameter(f"Outpost needs {', '.join(missing)}; see docs/performance.md")
    began, results, said = time.monotonic(), list[Result](), dict[str, Any]()
    conditions = dict[str, Conditions]()
    before = report.rows(json.loads(known.read_text())) if known.exists() else {}
    with (
        tempfile.TemporaryDirectory(prefix="fastcore-bench-") as folder,
        running_stack(Path(folder), fsync=True) as stack,
    ):
        bench = BenchEnvironment(
            stack, Path(folder), quick, turns, lambda text: console.print(f"... {text}"),
            draws=keep, outpost=outpost and outpost.resolve(),
        )  # fmt: skip
        for name in names:
            found, conditions[name] = _compare(bench, name, pin=pin)
            results += found
            # After each comparison, so that an interrupted run keeps its results.
            said = report.document(bench, results, conditions)
            report.write(out, said)
    if keep:
        report.write(known, said)
        plots.draw(bench.curves)
        performance_page.write(said)
    console.print(report.table(said), *report.conditions(said), sep="\n")
    verdicts = Counter(result.verdict for result in results)
    console.print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    console.print(f"{time.monotonic() - began:.0f} s; written to {out}")
    if faults := report.worse(results, before):
        sys.exit("\n".join([f"worse than {known} by more than {report.MARGIN:.0%}:", *faults]))


def _chosen(only: Iterable[str]) -> list[str]:
    """Return the comparisons of these names. A name before a hyphen means all that begin with it."""
    found = list[str]()
    for each in only:
        named = [name for name in COMPARISONS if each in (name, name.partition("-")[0])]
        if not named:
            raise typer.BadParameter(f"there is no {each}; choose of: {', '.join(COMPARISONS)}")
        found += named
    return list(dict.fromkeys(found))


def _compare(bench: BenchEnvironment, name: str, *, pin: bool) -> tuple[list[Result], Conditions]:
    """Run one comparison, and observe the machine meanwhile. Servers of others cannot be moved."""
    own_servers = bench.stack.is_embedded
    pin = pin and name in ONE_PROCESS and own_servers and placement.can_pin()
    placement.move_all(CORES[1:] if pin else CORES)
    watch = Watch()
    found = asyncio.run(COMPARISONS[name](replace(bench, measured=CORES[:1] if pin else CORES)))
    where = placement.MEASURED_ALONE if pin else placement.NOT_PINNED
    seen = watch.conditions(where, own_servers=own_servers)
    return [replace(result, conditions=seen) for result in found], seen


if __name__ == "__main__":
    typer.run(main)
