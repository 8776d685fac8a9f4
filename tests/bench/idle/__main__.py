"""`python -m tests.bench.idle`: what each process of the embedded stack needs while no leads arrive."""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded import stack as stacks
from deploy.embedded.environment import EXAMPLE_TOKENS
from deploy.embedded.processes.supervisor import Supervisor
from deploy.embedded.progress import silent
from deploy.embedded.servers import postgres
from deploy.embedded.servers.standalone import free_ports
from deploy.embedded.settings import ROOT, SERVICES, Stack
from tests.bench.idle.open_page import keep_open
from tests.bench.idle.usage import Row, Usage, compare, read_usage, total

LAST: Final = ROOT / ".fastcore" / "bench" / "idle.json"
OPEN_PAGE: Final = "/admin"
_PORTS: Final = (*SERVICES, "edge", "mailbox", "smtp", "kafka", "kafka_controller", "postgres")


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """Run a whole embedded stack in a new folder and on free ports. It ignores the settings in `.env`."""
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    with tempfile.TemporaryDirectory(prefix="fastcore-idle-") as folder:
        named: dict[str, Any] = {f"{name}_port": port for name, port in ports.items()}
        stack = Stack(data=Path(folder), **named)
        try:
            stacks.start(stack, {}, silent)
            yield stack
        finally:
            stacks.stop(stack.folder, silent)
            postgres.remove(stack.folder)


def read_all(stack: Stack) -> dict[str, Usage]:
    """Return the usage of each program of the stack. supervisord itself is left out."""
    programs = Supervisor(stack.folder).programs().items()
    return {name: read_usage(info["pid"]) for name, info in programs}


async def measure(stack: Stack, settle: float, seconds: float) -> dict[str, Row]:
    """Wait `settle` seconds, then return what each program needs during `seconds`."""
    await asyncio.sleep(settle)
    before, began = read_all(stack), time.monotonic()
    await asyncio.sleep(seconds)
    return compare(before, read_all(stack), time.monotonic() - began)


async def measure_both(stack: Stack, settle: float, seconds: float) -> dict[str, dict[str, Row]]:
    """Measure with nobody at the dashboard, then with one page of it open."""
    closed = await measure(stack, settle, seconds)
    url = f"http://127.0.0.1:{stack.edge_port}"
    page = asyncio.create_task(keep_open(url, OPEN_PAGE, EXAMPLE_TOKENS["FASTCORE_ADMIN_TOKEN"]))
    try:
        opened = await measure(stack, min(settle, 15), seconds)
        if page.done():
            page.result()
    finally:
        page.cancel()
    return {"no page open": closed, "overview open": opened}


def table(title: str, rows: Mapping[str, Row]) -> Table:
    """Return the figures of one measurement as a table, with the sums of the services and of everything."""
    found = Table(
        "program", "ms of processor a minute", "% of a core", "wake-ups a second", "PSS in MB", title=title
    )
    services = {name: row for name, row in rows.items() if name in SERVICES}
    for name, row in {**rows, "the six services": total(services), "everything": total(rows)}.items():
        found.add_row(
            name,
            f"{row.ms_per_minute:,.0f}",
            f"{row.core_percent:.2f}",
            f"{row.wakeups_per_second:.1f}",
            f"{row.pss_mb:.1f}",
        )
    return found


def main(
    seconds: Annotated[float, typer.Option(help="How long each measurement takes.")] = 120,
    settle: Annotated[float, typer.Option(help="Seconds to wait after the start.")] = 60,
    out: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = LAST,
) -> None:
    """Measure the processor time, the wake-ups and the memory of each process while no leads arrive.

    Starts a stack of its own. Other programs on the machine disturb the memory only if they share pages with
    the stack, such as another stack of this checkout.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    with running_stack() as stack:
        figures = asyncio.run(measure_both(stack, settle, seconds))
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {title: {name: asdict(row) for name, row in rows.items()} for title, rows in figures.items()}
    out.write_text(json.dumps(document, indent=1) + "\n")
    for title, rows in figures.items():
        console.print(table(title, rows))
    console.print(f"Written to {out}")


if __name__ == "__main__":
    typer.run(main)
