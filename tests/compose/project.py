"""A separate compose project for tests, with its own name, free ports and no `.env`."""

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from deploy.embedded.servers.standalone import free_ports
from tests.compose.edge_image import edge_image
from tests.support.wait import eventually

ROOT = Path(__file__).parents[2]
INGEST_TOKEN = "dev-token-xyz-123"
ADMIN_TOKEN = "dev-admin-token-xyz-123"
# Those that tests choose by variables; any other setting of a developer's shell is not the tests'.
PASSED_ON = ("PATH", "HOME", "DOCKER_", "PYTHON_IMAGE", "KAFKA_IMAGE", "POSTGRES_IMAGE")


def _free_subnet() -> str:
    """Return a network that no other stack uses. It is in none of the engine's own address pools."""
    return f"198.18.{secrets.randbelow(256)}.0/24"


class Project:
    """`docker compose` for one project, with the given compose files or the usual one."""

    def __init__(self, *files: str) -> None:
        self.name = f"fastcore-test-{uuid4().hex[:6]}"
        edge, mailbox = free_ports(2)
        self.url = f"http://127.0.0.1:{edge}"
        self.mailbox = f"http://127.0.0.1:{mailbox}"
        self._environment = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)} | {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_DISABLE_ENV_FILE": "true",
            "COMPOSE_FILE": ":".join(files or ["docker-compose.yml"]),
            "FASTCORE_COMPOSE_EDGE_SUBNET": _free_subnet(),
            "FASTCORE_COMPOSE_PORT": str(edge),
            "FASTCORE_COMPOSE_MAILBOX_PORT": str(mailbox),
            "FASTCORE_IMAGE": "fastcore:test",
            "EDGE_IMAGE": edge_image(),
            "FASTCORE_NOTIFIER_ALERT_BURST": "0",  # a load's team notifications are counted one by one
        }

    def docker(self, *command: str, text: str | None = None, seconds: float = 500, **environment: str) -> str:
        """Run `docker ...` and return what it printed; fail with its error output."""
        return self.run("docker", *command, text=text, seconds=seconds, **environment)

    def run(self, *command: str, text: str | None = None, seconds: float = 500, **environment: str) -> str:
        """Run a program with the variables of this project."""
        done = subprocess.run(
            [*command],
            cwd=ROOT,
            env=self._environment | environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def compose(
        self, *command: str, text: str | None = None, seconds: float = 500, **environment: str
    ) -> str:
        """Run `docker compose ...` for this project."""
        return self.docker("compose", *command, text=text, seconds=seconds, **environment)

    def build(self, version: str) -> None:
        """Build the image of this checkout; another version is another image, if only by its labels."""
        self._environment["VERSION"] = version
        self.compose("build", seconds=600)

    def version(self, service: str) -> str:
        """Return the version of the image that a service's first container runs."""
        labels: dict[str, str] = self.inspect(self.containers(service)[0])["Config"]["Labels"]
        return labels["org.opencontainers.image.version"]

    def up(self, **scale: int) -> None:
        """Start or scale the containers, and wait until all are healthy."""
        scales = [word for name, count in scale.items() for word in ("--scale", f"{name}={count}")]
        self.compose("up", "--detach", "--wait", "--wait-timeout", "400", "--no-recreate", *scales)

    def containers(self, service: str) -> list[str]:
        """Return the containers of a service, including stopped ones."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """Return the engine's information about a container."""
        found: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return found

    def sql(self, query: str) -> list[list[str]]:
        """Query the database."""
        command = ("exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "fastcore", "-qAtX", "-F", "\t")
        answer = self.compose(*command, "-c", query)
        return [line.split("\t") for line in answer.splitlines()]

    def assignments(self, service: str) -> list[list[int]]:
        """Return the partitions of `leads.received.v1` that each member of a consumer group holds."""
        program = Path(__file__).with_name("members.py").read_text()
        command = ("exec", "-T", "flusher", "python", "-", f"fastcore.{service}")
        found: list[list[int]] = json.loads(self.compose(*command, text=program))
        return found

    def ledger(self) -> str:
        """Compare the topics with the tables; fail if anything is missing or the ledger does not balance."""
        return self.compose("exec", "-T", "flusher", "python", "-m", "deploy.cli.ledger")

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=15)

    async def admin(self, method: str, path: str) -> httpx.Response:
        """Send a request with the admin token."""
        async with self.client() as client:
            return await client.request(method, path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})

    async def mails(self) -> list[dict[str, Any]]:
        """Return all mails that have arrived."""
        async with httpx.AsyncClient(timeout=30) as client:
            found: list[dict[str, Any]] = (await client.get(f"{self.mailbox}/api/messages")).json()
            return found

    async def healthy(self, seconds: float = 120) -> None:
        """Wait until the admin service reports every part as up."""

        async def probe() -> Any:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                answer = await self.admin("GET", "/admin/health")
                return answer.status_code if answer.status_code == 200 else answer.text[:500]
            return "no answer"

        await eventually(probe, until=lambda said: said == 200, seconds=seconds, every=0.5, what="health")

    async def balanced(self, seconds: float = 120) -> None:
        """Wait until there is no lag and the ledger balances."""

        async def probe() -> str:
            try:
                return await asyncio.to_thread(self.ledger)
            except AssertionError as error:
                return str(error)

        await eventually(
            probe, until=lambda said: "nothing is missing" in said, seconds=seconds, every=1, what="balance"
        )


@contextlib.contextmanager
def running_project(*files: str) -> Iterator[Project]:
    """Build the image of this checkout, start everything, and remove everything at the end."""
    project = Project(*files)
    try:
        project.build("this")
        project.up()
        yield project
    except BaseException:
        with contextlib.suppress(Exception):
            print(project.compose("ps", "--all"), project.compose("logs", "--tail", "30"))  # noqa: T201
        raise
    finally:
        project.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "60")
