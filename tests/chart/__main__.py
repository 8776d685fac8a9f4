"""`python -m tests.chart`: upgrade what the chart renders under load, and roll it back.

There is no Kubernetes: `rollout.py` does with the rendered objects what its controllers would do, on a Docker
engine on Linux. Kafka, PostgreSQL and the mailbox are those of docker-compose.yml.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

import httpx
import typer
from rich.console import Console

from services.roles import PORTS
from tests.chart.pods import Host
from tests.chart.rendered_objects import Objects
from tests.chart.rollout import Release, release
from tests.chart.steady_load import SteadyLoad
from tests.chart.versions import IMAGES, LOSES_ON_KEPT, SECRETS, previous_commit, render_both
from tests.compose.project import ADMIN_TOKEN, Project

SERVERS: Final = ("kafka", "postgres", "mailbox")
BEFORE_AND_AFTER_SECONDS: Final = 5.0

console = Console()


class Servers(Project):
    """The servers of docker-compose.yml, and the pods of the release in their network."""

    def __init__(self) -> None:
        super().__init__()
        self.release: Release | None = None
        self.network, self.gateway = f"{self.name}-pods", ""
        self._environment["FASTCORE_IMAGE"] = IMAGES["this"]

    def build_both(self) -> None:
        """Build the image of this checkout, and that of the previous release."""
        build = "docker build --quiet --build-arg PYTHON_IMAGE --file deploy/Dockerfile"
        self.run("sh", "-c", f"{build} --tag {IMAGES['this']} .", seconds=900)
        self.run(
            "sh", "-c", f"git archive {previous_commit()} | {build} --tag {IMAGES['previous']} -", seconds=900
        )

    def start(self) -> Host:
        """Start the servers, and connect them to a network for the pods."""
        self.compose("up", "--detach", "--wait", *SERVERS)
        self.docker("network", "create", self.network)
        for server in SERVERS:
            [container] = self.containers(server)
            self.docker("network", "connect", "--alias", server, self.network, container)
        self.gateway = self.docker(
            "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", self.network
        ).strip()
        self.url = f"http://{self.gateway}:{PORTS['ingest']}"
        return Host(self.name, self.network, self.gateway, SECRETS)

    def remove(self) -> None:
        """Remove everything that this run has made."""
        mine = ("--filter", f"label=fastcore.test={self.name}", "--quiet")
        for what, listed in (("container", ("ls", "--all")), ("volume", ("ls",))):
            if found := self.docker(what, *listed, *mine).split():
                self.docker(what, "rm", "--force", *found)
        self.compose("down", "--volumes", "--timeout", "30")
        with contextlib.suppress(AssertionError):
            self.docker("network", "rm", self.network)

    def ledger(self) -> str:
        assert self.release
        pod = self.release.of("leads-fastcore-flusher")[0]
        return self.docker("exec", pod.container, "python", "-m", "deploy.cli.ledger")

    async def admin(self, method: str, path: str) -> httpx.Response:
        url = f"http://{self.gateway}:{PORTS['admin']}{path}"
        async with self.client() as client:
            return await client.request(method, url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})


@contextlib.contextmanager
def servers() -> Iterator[tuple[Servers, Host]]:
    """Start the servers, and remove everything at the end."""
    started = Servers()
    try:
        started.build_both()
        yield started, started.start()
    finally:
        started.remove()


@contextlib.asynccontextmanager
async def _posting(what: str, load: SteadyLoad) -> AsyncIterator[None]:
    """Post leads before, during and after the body of the `async with`, then check every lead."""
    ended, posted = asyncio.Event(), asyncio.Event()

    async def post() -> None:
        await load.post_steadily(ended)
        posted.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(post())
        await asyncio.sleep(BEFORE_AND_AFTER_SECONDS)
        started = time.monotonic()
        yield
        took = time.monotonic() - started
        await asyncio.sleep(BEFORE_AND_AFTER_SECONDS)
        ended.set()
    await load.stored()
    mails, unknown = await load.mailed()
    await load.project.balanced()
    console.print(
        f"{what} in {took:.1f} s: {load.posted} leads ({load.posted / load.seconds:.1f}/s),"
        f" {load.repeated} refused, slowest answer {load.slowest:.2f} s;"
        f" all stored once, {mails} mails, {unknown} unknown, nothing lost"
    )
    for refusal in load.refusals:
        console.print(f"  {refusal}")


async def upgrade_and_roll_back(project: Servers, host: Host, objects: dict[str, Objects]) -> int:
    """Install the previous release, upgrade it and roll it back. Return how many leads were refused.

    Those that the gateways of `LOSES_ON_KEPT` lost in the upgrade are printed, and do not count.
    """
    loads = [SteadyLoad(project), SteadyLoad(project)]
    async with release(host) as installed:
        project.release = installed
        await installed.install_or_upgrade(objects["previous"])
        await project.healthy()
        async with _posting("upgraded", loads[0]):
            await installed.install_or_upgrade(objects["this"])
        await installed.test()
        await project.healthy()
        async with _posting("rolled back", loads[1]):
            await installed.roll_back(objects["previous"])
        await project.healthy()
    refused = sum(load.repeated for load in loads)
    return refused - (loads[0].refused_on_kept if previous_commit() == LOSES_ON_KEPT else 0)


def main() -> None:
    """Upgrade from the previous release under 25 leads/s, and roll back: no lead is refused or lost."""
    objects = {version: Objects.parse(text) for version, text in render_both().items()}
    with servers() as (project, host):
        refused = asyncio.run(upgrade_and_roll_back(project, host, objects))
    assert not refused, f"{refused} first attempts were refused"


if __name__ == "__main__":
    typer.run(main)
