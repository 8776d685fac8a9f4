"""`python -m tests.bench.scale`: the cost of each piece of work at 10,000, 100,000 and a million leads.

Generates a database for each number, and compares the processor time of the database, which other programs on
the machine change less than elapsed time. Exits with 1 if any work takes over 20 % and over 1 ms more at the
largest size.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from tests.bench.scale.databases import FOLDER, metered, prepared, running_server
from tests.bench.scale.figures import Figure, growth
from tests.bench.scale.reads import explain, measure_reads
from tests.bench.scale.report import growth_table, size_table
from tests.bench.scale.upkeep import measure_sizes, measure_upkeep
from tests.bench.scale.writes import measure_writes

RESULTS: Final = FOLDER / "results.json"
PARTS: Final = ("reads", "writes", "upkeep")


async def _measure(url: str, leads: int, runs: int, only: str, part: str, console: Console) -> dict[str, Any]:
    figures: list[Figure] = []
    async with metered(url) as meter:
        if part in ("", "reads"):
            figures += await measure_reads(meter, runs, only, lambda text: console.print(f"... {text}"))
        sizes = await measure_sizes(meter, leads)
        if part in ("", "writes"):
            written, log = await measure_writes(meter)
            figures += written
            sizes["write-ahead log of storing it"] = log
        if part in ("", "upkeep"):
            figures += await measure_upkeep(meter)
    return {"leads": leads, "figures": [asdict(each) for each in figures], "bytes_per_lead": sizes}


async def _explain(url: str, name: str, console: Console) -> None:
    async with metered(url) as meter:
        for plan in await explain(meter, name):
            console.print(plan, soft_wrap=True, markup=False, highlight=False)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def main(
    leads: Annotated[list[int] | None, typer.Option(help="A number of leads; several may be given.")] = None,
    server: Annotated[
        str,
        typer.Option(help="A superuser's URL of a server on this machine with pg_trgm, which searches need."),
    ] = "",
    runs: Annotated[int, typer.Option(help="How often each query runs.")] = 9,
    only: Annotated[str, typer.Option(help="Only queries with this in their name.")] = "",
    part: Annotated[str, typer.Option(help=f"Only one of: {', '.join(PARTS)}.")] = "",
    plan: Annotated[str, typer.Option(help="Print the plan of the query with this name instead.")] = "",
    generate: Annotated[bool, typer.Option(help="Only generate the databases.")] = False,
    out: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = RESULTS,
) -> None:
    """Measure the work of an installation at several numbers of leads, and report what grows with them."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    measured = _read(out)
    with running_server(server) as at:
        for number in sorted(leads or [10_000, 100_000, 1_000_000]):
            url = prepared(at, number, console, writes=not generate and part in ("", "writes") and not plan)
            if generate:
                continue
            if plan:
                asyncio.run(_explain(url, plan, console))
                continue
            found = asyncio.run(_measure(url, number, runs, only, part, console))
            known = {
                (each["group"], each["name"]): each
                for each in measured.get(str(number), {}).get("figures", [])
            }
            found["figures"] = [
                *(known | {(each["group"], each["name"]): each for each in found["figures"]}).values()
            ]
            measured[str(number)] = found
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(measured, indent=1) + "\n")
    if generate or plan:
        return
    grown = growth({int(n): [Figure(**each) for each in of["figures"]] for n, of in measured.items()})
    console.print(growth_table(grown))
    console.print(size_table({int(n): of["bytes_per_lead"] for n, of in measured.items()}))
    if rising := [each.name for each in grown if not each.is_flat]:
        sys.exit(f"over 20 % more at the largest size: {'; '.join(rising)}")


if __name__ == "__main__":
    typer.run(main)
