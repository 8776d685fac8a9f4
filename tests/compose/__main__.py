"""`python -m tests.compose`: under load, consumers scale, each container is killed, an upgrade is made."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.roles import PORTS
from tests.compose.load import Load
from tests.compose.project import Project, running_project
from tests.support.wait import eventually

VICTIMS = ("persister", "notifier", "flusher", "admin", "ingest", "edge", "mailbox", "postgres", "kafka")
AWAY_SECONDS = 3
LEADS_PER_PHASE = 100
GATEWAYS = 2

console = Console()


async def scale(project: Project, total: int) -> None:
    """Post while two more persisters and one more notifier join; all is stored once, all partitions held."""
    load, started = Load(project, mails=False), time.monotonic()
    await asyncio.gather(load.post(total, at_once=40), asyncio.to_thread(project.up, persister=3, notifier=2))
    posted = time.monotonic() - started
    await load.stored()
    stored = time.monotonic() - started
    shares = {name: project.assignments(name) for name in ("persister", "notifier")}
    console.print(f"{total} leads posted in {posted:.1f} s, {load.repeated} requests repeated")
    console.print(f"all stored once after {stored:.1f} s")
    console.print(f"partitions: {shares}")
    project.up(persister=1, notifier=1)


@contextlib.asynccontextmanager
async def _posting(load: Load, at_once: int = 10) -> AsyncIterator[None]:
    """Post before, during and after the block."""
    ended = asyncio.Event()

    async def more() -> None:
        async def posted() -> int:
            return load.posted

        seen = load.posted
        await eventually(posted, until=lambda n: n >= seen + LEADS_PER_PHASE, seconds=90)

    async with asyncio.TaskGroup() as group:
        posting = group.create_task(load.post_until(ended, at_once))
        await more()
        yield
        await more()
        ended.set()
        await posting


async def kill_all(project: Project) -> None:
    """Kill each container under load, start it again after a while, and look for every lead and mail."""
    table = Table(
        "killed", "leads", "repeated", "stored once", "mails", "unknown", "well again", title_justify="left"
    )
    for service in VICTIMS:
        load = Load(project)
        async with _posting(load):
            victim = project.containers(service)[0]
            await asyncio.to_thread(project.docker, "kill", victim)
            await asyncio.sleep(AWAY_SECONDS)
            await asyncio.to_thread(project.docker, "start", victim)
            started = time.monotonic()
        await project.healthy()
        await load.stored()
        mails, unknown = await load.mailed()
        await project.balanced()
        well = f"{time.monotonic() - started:.1f} s"
        table.add_row(service, str(load.posted), str(load.repeated), "all", str(mails), str(unknown), well)
        console.print(f"{service}: {load.posted} leads, nothing lost")
    console.print(table)


async def upgrade(project: Project) -> None:
    """Upgrade two gateways and all else under load by deploy/compose/upgrade.sh: no lead is refused."""
    project.up(ingest=GATEWAYS)
    load = Load(project)
    await asyncio.to_thread(project.build, "next")
    async with _posting(load):
        started = time.monotonic()
        await asyncio.to_thread(project.run, "sh", "deploy/compose/upgrade.sh")
        took = time.monotonic() - started
    assert {project.version(service) for service in PORTS} == {"next"}
    assert len(project.containers("ingest")) == GATEWAYS
    await load.stored()
    mails, unknown = await load.mailed()
    await project.balanced()
    console.print(
        f"upgraded in {took:.1f} s: {load.posted} leads, {load.repeated} first attempts refused,"
        f" {mails} mails, {unknown} unknown, nothing lost"
    )
    assert load.repeated == 0, f"{load.repeated} first attempts were refused"


def main(
    leads: Annotated[int, typer.Option(help="How many to post while consumers scale; 0: none.")] = 10_000,
    kill_each: Annotated[bool, typer.Option("--kill-all", help="Kill each container in turn.")] = False,
    upgraded: Annotated[
        bool, typer.Option("--upgrade", help="Replace all services by another image.")
    ] = False,
) -> None:
    """Start a separate stack, test it, and remove it."""
    started = time.monotonic()
    with running_project() as project:
        console.print(f"up after {time.monotonic() - started:.1f} s, the build included")
        if leads:
            asyncio.run(scale(project, leads))
        if kill_each:
            asyncio.run(kill_all(project))
        if upgraded:
            asyncio.run(upgrade(project))
        started = time.monotonic()
        project.compose("stop")
        console.print(f"all drained and stopped in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    typer.run(main)
