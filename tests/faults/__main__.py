"""`python -m tests.faults`: inject seeded faults into real installations and check every guarantee."""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from deploy.embedded.servers.kafka_jars import classpath
from tests.faults import families
from tests.faults.family import Family
from tests.faults.runner.record import OtherCommit, Record
from tests.faults.runner.run import Plan, Run
from tests.support import patience as patience_

ROOT = Path(__file__).parents[2]


def main(
    *,
    minutes: Annotated[float, typer.Option(min=0, help="The budget. 0: as many rounds as --rounds.")] = 0,
    rounds: Annotated[int, typer.Option(min=0, help="How many rounds. 0: what the budget allows.")] = 0,
    seed: Annotated[int, typer.Option(help="Determines load, times and the choice of faults.")] = 1,
    first: Annotated[int, typer.Option(min=0, help="The number of the first round. 0: the next.")] = 0,
    family: Annotated[list[str] | None, typer.Option(help="Only this family; repeatable.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this fault; repeatable: all of them in every round.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The rounds that CI runs of each family.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, an option of the family; repeatable.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Factor for every bound, for a slow or shared machine.")
    ] = 1,
    parallel: Annotated[int, typer.Option(min=1, help="Installations at the same time.")] = 1,
    record: Annotated[
        Path | None, typer.Option(help="Add the rounds to this file, and continue its counts.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep data and logs of rounds without violations.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List all families with their faults.")] = False,
) -> None:
    """Post leads while processes and servers fail, heal all, wait until idle, and check every guarantee.

    Without --minutes and --rounds it runs five rounds. The next round is always of the fault that had the
    fewest rounds so far. Exits with 1 after a violation, and prints how to repeat the round.
    """
    known = families.load()
    if list_:
        for each in known.values():
            typer.echo(f"{each.name}:")
            for name, about in each.faults.items():
                typer.echo(f"  {name}" + (f": {about}" if about else ""))
        return
    chosen = _choose_families(known, family or [], fault or [])
    options = dict(_pair(each) for each in set_ or [])
    os.environ[patience_.VARIABLE] = f"{patience:g}"
    folder = ROOT / ".fastcore" / "faults" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-seed{seed}"
    longest = sorted(chosen.values(), key=lambda each: (-len(each.quick_rounds), -each.bound_seconds))
    fixed = {each.name: each.quick_rounds for each in longest} if quick else {}
    plan = Plan(
        seed=seed,
        minutes=minutes,
        rounds=rounds if rounds or minutes or quick else 5,
        first=first,
        faults=tuple(fault or ()),
        fixed=fixed,
        options=options,
        keep=keep,
        parallel=parallel,
    )
    # Here, where a failure says so once, and not within the bounds of the first rounds.
    classpath(typer.echo)
    run = Run(chosen, plan, Record(record or folder / "rounds.jsonl"), folder, typer.echo)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        run.execute()
    except OtherCommit as error:
        raise typer.BadParameter(str(error), param_hint="--record") from None
    run.report_violations()
    typer.echo(f"{len(run.done)} rounds, {run.violations} with violations; recorded in {run.record.path}")
    sys.exit(1 if run.violations else 0)


def _choose_families(known: dict[str, Family], names: list[str], faults: list[str]) -> dict[str, Family]:
    """Return the families with these names, or else all; with faults, the first that has all of them."""
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of: {', '.join(known)}", param_hint="--family")
    chosen = {name: each for name, each in known.items() if not names or name in names}
    if not faults:
        return chosen
    fitting = [each for each in chosen.values() if set(faults) <= set(each.faults)]
    if not fitting:
        raise typer.BadParameter(
            f"no family has all of: {', '.join(faults)}; --list shows all faults", param_hint="--fault"
        )
    for name in faults:
        if missing := fitting[0].missing(name):
            raise typer.BadParameter(f"{name!r} needs {missing}", param_hint="--fault")
    return {fitting[0].name: fitting[0]}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
    return name, value


if __name__ == "__main__":
    typer.run(main)
