"""`python -m tests.faults`: inject seeded faults into a real installation and check every guarantee."""

import asyncio
import logging
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tests.faults import report
from tests.faults.fault_plan import QUICK, plan_faults
from tests.faults.injections.faults import ALL, LONG
from tests.faults.load import Traffic
from tests.faults.suite import Round, Suite

ROOT = Path(__file__).parents[2]


def main(
    *,
    seed: Annotated[int, typer.Option(help="Determines the load and the faults of every round.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 5,
    first: Annotated[int, typer.Option(min=1, help="Start with this round of the seed.")] = 1,
    minutes: Annotated[float, typer.Option(help="Start no round after this many minutes; 0: no limit.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(help="Inject only this fault in every round; repeatable.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A selection for CI: four rounds, four minutes.")
    ] = False,
    load_seconds: Annotated[float, typer.Option(help="How long each round posts leads.")] = 12,
    rate: Annotated[float, typer.Option(help="Leads a second.")] = 40,
    spam: Annotated[float, typer.Option(min=0, max=1, help="Share of spam, which is not mailed.")] = 0.08,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the gateway on one port.")] = 1,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep data and logs of a run without violations.")
    ] = False,
    one_process: Annotated[
        bool, typer.Option("--one-process", help="Run all services in one process.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List all faults and exit.")] = False,
) -> None:
    """Post leads while processes and servers fail, then check every guarantee.

    Each round posts about 480 requests in 12 s with idempotency keys (some repeated, some at once,
    some spam, some bad), injects its faults, heals everything, waits until the installation is idle,
    and compares the responses with the database, the topics and the mailbox. Exits with 1 after a
    violation, and prints how to reproduce the round and the timeline of the affected leads.
    """
    if list_:
        typer.echo("\n".join([*ALL, *LONG]))
        return
    if unknown := [name for name in fault or () if name not in ALL | LONG]:
        raise typer.BadParameter(
            f"{unknown[0]!r} is not a fault; --list shows all of them", param_hint="--fault"
        )
    for name in fault or ():
        if missing := (ALL | LONG)[name].missing():
            raise typer.BadParameter(f"{name!r} needs {missing}", param_hint="--fault")
    if fault:
        planned = [tuple(fault)] * (first + rounds - 1)
    else:
        planned = list(QUICK) if quick else plan_faults(seed, first + rounds - 1, ALL)
    folder = ROOT / ".fastcore" / "faults" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-seed{seed}"
    logging.disable(
        logging.CRITICAL
    )  # aiokafka logs each lost connection, which these faults cause on purpose
    suite = Suite(
        folder,
        Traffic(load_seconds, rate, spam),
        typer.echo,
        keep=keep,
        one_process=one_process,
        workers=workers,
    )
    done = asyncio.run(_run(suite, seed, planned, first, minutes))
    typer.echo("\n" + report.render(done))
    report.save(done, folder / "report.json")
    typer.echo(f"\nas JSON: {folder / 'report.json'}")
    broken = any(result.violations for result in done)
    if not broken and not keep:
        for environment in folder.glob("environment-*"):
            shutil.rmtree(environment, ignore_errors=True)
    sys.exit(1 if broken else 0)


async def _run(
    suite: Suite, seed: int, planned: list[tuple[str, ...]], first: int, minutes: float
) -> list[Round]:
    began, done = time.monotonic(), list[Round]()
    try:
        for number, faults in enumerate(planned[first - 1 :], start=first):
            if minutes and time.monotonic() - began > minutes * 60:
                typer.echo(f"{minutes:g} minutes have passed after {len(done)} rounds")
                break
            typer.echo(f"round {seed}/{number} of {len(planned)}: {', '.join(faults)} ...")
            done.append(await suite.run(seed, number, faults))
            typer.echo(report.line(done[-1]))
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("interrupted: the results so far")
    finally:
        await suite.close()
    return done


if __name__ == "__main__":
    typer.run(main)
