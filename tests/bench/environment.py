"""The environment of a comparison: servers, folder, programs and duration."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.measure import Curve
from tests.bench.placement import CORES, running_on
from tests.support.services.processes import ROOT, ServiceProcess
from tests.support.stack import Stack

TOKEN = "a-token-of-a-website-1234567890"


@dataclass(frozen=True)
class BenchEnvironment:
    """`quick` selects shorter loads; each contender is measured in `turns` turns.

    `say` prints the current measurement. `draws` is True if the run measures the curves of the documentation,
    too. The measured processes run on the cores `measured`. `outpost` is the folder with Outpost's programs.
    """

    stack: Stack
    folder: Path
    quick: bool
    turns: int
    say: Callable[[str], None]
    draws: bool = False
    outpost: Path | None = None
    curves: list[Curve] = field(default_factory=list)
    measured: Collection[int] = tuple(CORES)

    @property
    def seconds(self) -> float:
        """The duration of one load."""
        return 2 if self.quick else 3

    @property
    def rate_seconds(self) -> int:
        """The duration of one load at the maximum rate. `wrk` takes whole seconds only."""
        return 1 if self.quick else 2


@contextlib.contextmanager
def input_process(name: str, *arguments: str) -> Iterator[None]:
    """Run `tests.bench.inputs.NAME`, a partner that is not measured, while the block lasts."""
    process = subprocess.Popen([sys.executable, "-m", f"tests.bench.inputs.{name}", *arguments], cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def reference_gateway(
    bench: BenchEnvironment, name: str, environment: dict[str, str], workers: int = 1
) -> contextlib.AbstractAsyncContextManager[ServiceProcess]:
    """Run one of `references/gateways.py` under uvicorn while the block lasts."""
    return program(
        bench, name, environment,
        "uvicorn", "--factory", f"tests.bench.references.gateways:{name}", "--port", "{port}",
        "--workers", str(workers), "--no-access-log", "--log-level", "warning",
    )  # fmt: skip


@contextlib.asynccontextmanager
async def program(
    bench: BenchEnvironment, name: str, environment: dict[str, str], *module: str
) -> AsyncIterator[ServiceProcess]:
    """Run a service, or `python -m module` instead, on the measured cores while the block lasts."""
    process = ServiceProcess(name, {"LOG_LEVEL": "WARNING", **environment}, bench.folder)
    if module:
        process.program = tuple(part.format(port=process.port) for part in module)
    with running_on(bench.measured):
        process.start()
    try:
        await process.ready(60)
        yield process
    finally:
        if process.process and process.process.poll() is None:
            await process.stop()


@contextlib.asynccontextmanager
async def started_together(
    *programs: contextlib.AbstractAsyncContextManager[ServiceProcess],
) -> AsyncIterator[list[ServiceProcess]]:
    """Start programs at the same time, and run them while the block lasts. All are ready when it begins.

    Raises an ExceptionGroup if one of them cannot start; the others are stopped.
    """
    async with contextlib.AsyncExitStack() as running:
        async with asyncio.TaskGroup() as starts:
            tasks = [starts.create_task(running.enter_async_context(each)) for each in programs]
        yield [task.result() for task in tasks]
