"""What a comparison stands on: the servers, a folder, programs, and how long it may take."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.measure import Curve
from tests.support.processes import ServiceProcess
from tests.support.stack import Stack

TOKEN = "a-token-of-a-website-1234567890"


@dataclass(frozen=True)
class Ground:
    """`quick` asks for the short form, without curves. `say` tells a person what is measured now."""

    stack: Stack
    folder: Path
    quick: bool
    say: Callable[[str], None]
    curves: list[Curve] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 4

    @property
    def seconds(self) -> float:
        """How long one load lasts."""
        return 2 if self.quick else 4


@contextlib.asynccontextmanager
async def program(
    ground: Ground, name: str, environment: dict[str, str], *module: str
) -> AsyncIterator[ServiceProcess]:
    """Run one service, or `python -m module` in its stead, until the block ends."""
    process = ServiceProcess(name, {"LOG_LEVEL": "WARNING", **environment}, ground.folder)
    if module:
        process.program = tuple(part.format(port=process.port) for part in module)
    process.start()
    try:
        await process.ready(60)
        yield process
    finally:
        if process.process and process.process.poll() is None:
            await process.stop()
