"""`python -m tests.bench.scale.migrations`: how long each statement waits beside the migrations of a release.

Generates a database whose newest migrations are missing, stores leads, writes the states of emails and reads
pages of the admin service, and applies the migrations meanwhile. Reports the longest time of each statement,
before and during, and exits with 1 if one took over two seconds longer.
"""

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table

from deploy.cli import migrate as runner
from runtime.database.ledger import Ledger
from services.persister.batch import decode_in_parts
from services.persister.store import Store
from tests.bench.admin_queries import cases
from tests.bench.inputs.large_database import SQL, Size, prepare_database
from tests.bench.scale.databases import Meter, create_database, metered, of_database, running_server
from tests.bench.scale.writes import LIKE, NEXT_OFFSET, TOPIC, lead_record, write_states
from tests.support.factories import lead

TRIAL: Final = Path(__file__).parent / "trial_migrations"
LIMIT_SECONDS: Final = 2.0
RATE: Final = 25  # leads per second
BATCH: Final = 5
BEFORE_SECONDS: Final = 60.0
SHOWN: Final = 15
# The pages that people open all day, not the exports.
READS: Final = ("leads", "lead", "overview")


class Times:
    """The longest time of each statement, in seconds, in the present phase."""

    def __init__(self) -> None:
        self.phase = "before"
        self.longest: dict[str, dict[str, float]] = defaultdict(lambda: {"before": 0.0, "during": 0.0})
        self.count = {"before": 0, "during": 0}

    def add(self, what: str, seconds: float) -> None:
        """Note one execution. It belongs to the phase in which it ended."""
        phases = self.longest[what]
        phases[self.phase] = max(phases[self.phase], seconds)
        self.count[self.phase] += 1

    def exceeding(self) -> list[str]:
        """Return the statements that took over the limit longer than before."""
        return [
            what
            for what, phases in self.longest.items()
            if phases["during"] - phases["before"] > LIMIT_SECONDS
        ]


@contextlib.contextmanager
def _migrations(folder: Path) -> Iterator[None]:
    """Let the runner read the files of a folder."""
    usual, runner.MIGRATIONS = runner.MIGRATIONS, folder
    try:
        yield
    finally:
        runner.MIGRATIONS = usual


async def _store(meter: Meter, times: Times, stop: asyncio.Event) -> None:
    rows = await meter.pool.fetch(LIKE, 500)
    offset = await meter.pool.fetchval(NEXT_OFFSET, TOPIC)
    store, owner = Store(meter.pool, Ledger("persister")), uuid4()
    place = 0
    while not stop.is_set():
        batch = [lead(**dict(rows[(place + each) % len(rows)])) for each in range(BATCH)]
        place += BATCH
        records = [lead_record(each, offset + nth) for nth, each in enumerate(batch)]
        offset += BATCH
        began = time.monotonic()
        await store.save(decode_in_parts(records), records)
        times.add("store five leads", time.monotonic() - began)
        began = time.monotonic()
        await write_states(meter, owner, [(each, "welcome") for each in batch])
        times.add("write the three states of five emails", time.monotonic() - began)
        await asyncio.sleep(max(0.0, BATCH / RATE - (time.monotonic() - began)))


async def _read(meter: Meter, times: Times, stop: asyncio.Event) -> None:
    sample = await SQL.sample(meter.pool)
    read = [case for case in cases(dict(sample)) if case.name.partition(":")[0] in READS]
    while not stop.is_set():
        for case in read:
            if stop.is_set():
                return
            began = time.monotonic()
            await case.run(meter.pool)
            times.add(f"read: {case.name}", time.monotonic() - began)
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def _load(url: str) -> AsyncIterator[Times]:
    times, stop = Times(), asyncio.Event()
    async with metered(url) as writer, metered(url) as reader, asyncio.TaskGroup() as tasks:
        tasks.create_task(_store(writer, times, stop))
        tasks.create_task(_read(reader, times, stop))
        try:
            yield times
        finally:
            stop.set()


async def _measure(url: str, folder: Path, console: Console) -> Times:
    async with _load(url) as times:
        await asyncio.sleep(BEFORE_SECONDS)
        times.phase = "during"
        began = time.monotonic()
        with _migrations(folder):
            applied = await runner.migrate(url, url)
        console.print(f"applied {', '.join(applied)} in {time.monotonic() - began:.0f} s")
    return times


def _table(times: Times) -> Table:
    table = Table(title=f"{times.count['before']} statements before, {times.count['during']} during")
    table.add_column("longest, ms")
    for name in ("before", "during"):
        table.add_column(name, justify="right")
    slowest = sorted(times.longest.items(), key=lambda each: -each[1]["during"])[:SHOWN]
    for what, phases in slowest:
        table.add_row(what, *(f"{phases[name] * 1000:.0f}" for name in ("before", "during")))
    return table


def main(
    leads: Annotated[int, typer.Option(help="The number of leads.")] = 1_000_000,
    since: Annotated[str, typer.Option(help="The number of the first migration that is missing.")] = "9001",
    server: Annotated[str, typer.Option(help="A superuser's URL of a server on this machine.")] = "",
) -> None:
    """Apply the migrations since a number, and those of trial_migrations, beside a load."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    with tempfile.TemporaryDirectory() as made, running_server(server) as at:
        old, new = Path(made) / "old", Path(made) / "new"
        old.mkdir()
        shutil.copytree(runner.MIGRATIONS, new)
        for path in TRIAL.glob("*.sql"):
            shutil.copy(path, new)
        for path in new.iterdir():
            if path.name < since:
                shutil.copy(path, old)
        name = f"migrations_{leads}"
        url = of_database(at, name)
        asyncio.run(create_database(at, name, again=True))
        with _migrations(old):
            asyncio.run(prepare_database(url, Size(leads), console))
        times = asyncio.run(_measure(url, new, console))
    console.print(_table(times))
    if slow := times.exceeding():
        sys.exit(f"over {LIMIT_SECONDS:.0f} s longer beside the migrations: {'; '.join(slow)}")


if __name__ == "__main__":
    typer.run(main)
