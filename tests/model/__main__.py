"""`python -m tests.model`: check the model of the protocol, and print what was found."""

import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from tests.model import report
from tests.model.checker import explore
from tests.model.document import write
from tests.model.specification import models
from tests.model.traces import coverage
from tests.model.traces.report import Replay

SHOWN: Final = 20


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="With --traces: the traces of rounds.")] = None,
    *,
    traces: Annotated[
        bool, typer.Option("--traces", help="Explain the traces of rounds of the fault suite.")
    ] = False,
    stories: Annotated[
        bool, typer.Option("--stories", help="Print the counterexample of each broken promise.")
    ] = False,
    write_: Annotated[bool, typer.Option("--write", help="Write the results into docs/model.md.")] = False,
) -> None:
    """Visit every state of each model, and check every promise. Exits with 1 if one does not hold.

    With `--traces`, find a run of the models for each trace instead. Exits with 1 if one has none.
    """
    if traces:
        sys.exit(_replay(files or [], write_=write_))
    if write_:
        write(report.render_document())
        return
    if stories:
        typer.echo(report.render_stories())
        return
    began, broken = time.process_time(), False
    for model in models():
        found = explore(model)
        typer.echo(
            f"{len(found.states):>9,} states {found.steps:>9,} steps {found.seconds:5.1f} s"
            f"  {model.name}: {model.bounds}"
        )
        if found.counterexample:
            typer.echo(f"\n{found.counterexample}\n")
            broken = True
    typer.echo(f"{time.process_time() - began:.1f} s of processor time")
    sys.exit(1 if broken else 0)


def _replay(files: list[Path], *, write_: bool) -> int:
    began, replay = time.process_time(), Replay()
    replay.add(files)
    for each in replay.unexplained[:SHOWN]:
        typer.echo(f"{each}\n")
    typer.echo(f"{replay.line()}; {time.process_time() - began:.1f} s of processor time")
    if write_:
        coverage.save(replay)
        write({"traces": coverage.render()})
    return 1 if replay.unexplained or replay.undecided else 0


if __name__ == "__main__":
    typer.run(main)
