"""`python -m tests.bench`: every speed claim as a ratio, measured in turns in one run."""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
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
from tests.bench.measure import Curve, Result
from tests.bench.placement import CORES
from tests.support.stack import running_stack

Compare = Callable[[BenchEnvironment], Coroutine[Any, Any, list[Result]]]
COMPARISONS: Final[dict[str, Compare]] = {
    "gateway": gateway.compare,
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
ONE_PROCESS: Final = {"gateway", "persister", "notifier", "start"}
# Too slow for a quick run: memory growth, and comparisons with several group members.
FULL_ONLY: Final = {"consumers", "memory"}
LAST: Final = ROOT / ".fastcore" / "bench" / "results.json"


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="Shorter loads and fewer turns: under 5 minutes.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help=f"Any of: {', '.join(COMPARISONS)}.")] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = LAST,
    keep: Annotated[
        bool, typer.Option("--keep", help="Make this the known run, and draw its curves.")
    ] = False,
    pin: Annotated[bool, typer.Option(help="Measure single processes on a core of their own.")] = True,
    known: Annotated[Path, typer.Option(help="The run that this one must not be worse than.")] = report.KNOWN,
) -> None:
    """Measure FASTCore against the usual ways to build its parts, and against their limits.

    Every figure is a ratio of two things measured alternately. Ends with 1 where a ratio is worse than the
    known one by more than the margin, and their intervals do not overlap. The table names each limit that was
    exceeded, and each ratio that is too noisy to be reported.
    """
    console = Console(width=None if sys.stdout.isatty() else 160)
    if unknown := set(only or ()) - set(COMPARISONS):
        raise typer.BadParameter(f"there is no {', '.join(unknown)}; choose of: {', '.join(COMPARISONS)}")
    os.environ.setdefault("FASTCORE_TEST_PARTS", "embedded")
    began, results, curves = time.monotonic(), list[Result](), list[Curve]()
    conditions = dict[str, Conditions]()
    before = report.rows(json.loads(known.read_text())) if known.exists() else {}
    with (
        tempfile.TemporaryDirectory(prefix="fastcore-bench-") as folder,
        running_stack(Path(folder), fsync=True) as stack,
    ):
        bench = BenchEnvironment(
            stack, Path(folder), quick, lambda text: console.print(f"... {text}"), curves
        )
        for name in only or [name for name in COMPARISONS if not (quick and name in FULL_ONLY)]:
            pinned = pin and name in ONE_PROCESS and placement.can_pin()
            placement.move_all(CORES[1:] if pinned else CORES)
            watch = Watch()
            found = asyncio.run(COMPARISONS[name](replace(bench, measured=CORES[:1] if pinned else CORES)))
            conditions[name] = watch.conditions(
                placement.MEASURED_ALONE if pinned else placement.NOT_PINNED, own_servers=stack.is_embedded
            )
            results += [replace(result, conditions=conditions[name]) for result in found]
            # After each comparison, so that an interrupted run keeps its results.
            said = report.document(results, stack.parts, curves, conditions, quick=quick)
            report.write(out, said)
    if keep:
        report.write(known, said)
        plots.draw(curves)
        performance_page.write(said)
    console.print(report.table(results, quick=quick), *report.conditions(said), sep="\n")
    console.print(f"{time.monotonic() - began:.0f} s; written to {out}")
    if faults := report.worse(results, before):
        sys.exit("\n".join([f"worse than {known} by more than {report.MARGIN:.0%}:", *faults]))


if __name__ == "__main__":
    typer.run(main)
