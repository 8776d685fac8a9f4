"""`python -m tests.model`: check the model of the protocol, and print what was found."""

import sys
import time
from typing import Annotated

import typer

from tests.model import report
from tests.model.checker import explore
from tests.model.document import write
from tests.model.specification import models


def main(
    *,
    stories: Annotated[
        bool, typer.Option("--stories", help="Print the counterexample of each broken promise.")
    ] = False,
    write_: Annotated[bool, typer.Option("--write", help="Write the results into docs/model.md.")] = False,
) -> None:
    """Visit every state of each model, and check every promise. Exits with 1 if one does not hold."""
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


if __name__ == "__main__":
    typer.run(main)
