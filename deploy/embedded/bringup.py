"""From started programs to a ready stack: parts answer, schema and topics are there, services are ready."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.mailbox import sink
from deploy.embedded.processes.readiness import Alive, wait_until
from deploy.embedded.processes.supervisor import Supervisor
from deploy.embedded.progress import Progress
from deploy.embedded.servers import kafka, postgres
from deploy.embedded.settings import ROOT, SERVICES, Stack

_SERVICES_READY_SECONDS = 60
_ENDED = {"BACKOFF", "EXITED", "FATAL"}


class Watch:
    """Tells whether a supervised program still runs, asking supervisord twice a second at most."""

    def __init__(self, supervisor: Supervisor, process: subprocess.Popen[bytes]) -> None:
        self._supervisor, self._process = supervisor, process
        self._known: dict[str, dict[str, Any]] = {}
        self._asked = 0.0

    def of(self, name: str) -> Alive:
        """Answer the question for one program."""
        return lambda: self._is_alive(name)

    def _is_alive(self, name: str) -> bool:
        if time.monotonic() - self._asked > 0.5:
            self._known, self._asked = self._supervisor.programs(), time.monotonic()
        state = self._known.get(name, {}).get("statename")
        return self._process.poll() is None and state not in _ENDED


class BringUp:
    """One start. Whatever does not answer ends it, with the end of that program's log."""

    def __init__(
        self,
        stack: Stack,
        parts: list[str],
        environment: Mapping[str, str],
        supervisor: Supervisor,
        watch: Watch,
        progress: Progress,
    ) -> None:
        self._stack, self._parts, self._environment = stack, parts, environment
        self._supervisor, self._watch, self._progress = supervisor, watch, progress

    async def run(self) -> None:
        """Wait for the parts, provision each as soon as it answers, then start the services."""
        await asyncio.gather(self._schema(), self._topics(), self._mail())
        self._progress(f"Starting the services: {', '.join(SERVICES)}")
        for group in ("consumers", "gateway"):
            self._supervisor.start_group(group)
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            # The edge's answer is ingest's: it proves the way from the front door.
            await asyncio.gather(*(self._service(client, name) for name in (*SERVICES, "edge")))

    async def _schema(self) -> None:
        if "postgres" in self._parts:
            url, alive = self._environment["DATABASE_URL"], self._watch.of("postgres")
            await self._ready("postgres", postgres.wait_ready(url, alive=alive))
        self._progress("Migrating the database")
        await self._run("deploy.cli.migrate")

    async def _topics(self) -> None:
        if "kafka" in self._parts:
            servers, alive = self._environment["KAFKA_BOOTSTRAP_SERVERS"], self._watch.of("kafka")
            await self._ready("kafka", kafka.wait_ready(servers, alive=alive))
        self._progress("Creating the topics")
        await self._run("deploy.cli.topics")

    async def _mail(self) -> None:
        if "mailbox" in self._parts:
            alive = self._watch.of("mailbox")
            await self._ready("mailbox", sink.wait_ready(self._stack.smtp_port, alive=alive))

    async def _service(self, client: httpx.AsyncClient, name: str) -> None:
        url, said = f"{self._stack.url(name)}/readyz", "nothing"

        async def answers() -> bool:
            nonlocal said
            with suppress(httpx.TransportError):
                response = await client.get(url)
                said = response.text
                return response.is_success
            return False

        try:
            await self._ready(
                name,
                wait_until(answers, f"{name} on {url}", _SERVICES_READY_SECONDS, self._watch.of(name)),
            )
        except EmbeddedError as error:
            raise EmbeddedError(f"{error}\nIts last answer: {said}") from None

    async def _ready(self, name: str, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except EmbeddedError as error:
            log = self._stack.folder / "logs" / f"{name}.log"
            raise EmbeddedError(f"{error}. The end of {log}:\n{_tail(log)}") from None

    async def _run(self, module: str) -> None:
        # Not asyncio's own subprocess: an interrupt while it is being made would end in a traceback.
        process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = await asyncio.to_thread(process.communicate)
        finally:
            process.kill()  # of what an interrupt has left; one that ended is not touched
        if process.returncode != 0:
            raise EmbeddedError(f"`python -m {module}` failed:\n{output.strip()}")


def _tail(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(it is empty)"
    except OSError:
        return "(there is none)"
