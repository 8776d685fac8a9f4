"""`python -m tests.bench`: every speed claim as a ratio, measured in turns in one run."""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from tests.bench import gateway
from tests.bench.ground import Ground
from tests.bench.measure import Result
from tests.support.stack import running_stack

Compare = Callable[[Ground], Awaitable[list[Result]]]
COMPARISONS: Final[dict[str, Compare]] = {"gateway": gateway.compare}


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Shorter loads, fewer rounds.")] = False,
    only: Annotated[list[str] | None, typer.Option(help=f"Any of: {', '.join(COMPARISONS)}.")] = None,
) -> None:
    """Measure and print."""
    console = Console()
    os.environ.setdefault("FASTCORE_TEST_PARTS", "embedded")
    began = time.monotonic()
    results: list[Result] = []
    with (
        tempfile.TemporaryDirectory(prefix="fastcore-bench-") as folder,
        running_stack(Path(folder)) as stack,
    ):
        for name in only or list(COMPARISONS):
            ground = Ground(stack, Path(folder), quick, console.print)
            results += asyncio.run(_compare(COMPARISONS[name], ground))
    for result in results:
        console.print(result.as_json())
    console.print(f"{time.monotonic() - began:.0f} s")


async def _compare(compare: Compare, ground: Ground) -> list[Result]:
    return await compare(ground)


if __name__ == "__main__":
    typer.run(main)
