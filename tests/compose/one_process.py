"""All services in one container (deploy/compose/one-process.yml): leads go in, and the container is killed.

Run by `make test-compose`; not collected by `make test`, which needs no engine.
"""

import asyncio
from collections.abc import Iterator

import pytest

from tests.compose.load import Load
from tests.compose.project import Project, running_project
from tests.support.wait import eventually

LEDGER = ("exec", "-T", "ingest", "python", "-m", "deploy.cli.ledger")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with running_project("docker-compose.yml", "deploy/compose/one-process.yml") as running:
        yield running


def test_one_container_runs_all_services(project: Project) -> None:
    services = set(project.compose("ps", "--services").split())
    assert services == {"kafka", "postgres", "mailbox", "ingest", "edge"}


async def test_leads_survive_a_killed_container(project: Project) -> None:
    await project.healthy()
    load = Load(project)
    await load.post(50, at_once=5)
    (container,) = project.containers("ingest")
    project.docker("kill", container)
    project.up()  # a killed container is not started again by the engine
    await load.post(50, at_once=5)
    await load.stored()

    async def ledger() -> str:
        try:
            return await asyncio.to_thread(project.compose, *LEDGER)
        except AssertionError as error:
            return str(error)

    await eventually(ledger, until=lambda said: "nothing is missing" in said, seconds=120, every=1)
    assert (await load.mailed())[0] >= 100
