"""Makes a started stack ready: waits for the servers, migrates, starts the services and waits for them."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.mailbox import smtp
from deploy.embedded.processes import programs
from deploy.embedded.processes.readiness import Alive, wait_until
from deploy.embedded.processes.supervisor import Supervisor
from deploy.embedded.progress import Progress
from deploy.embedded.servers import kafka, postgres
from deploy.embedded.settings import ROOT, SERVICES, Stack

_SERVICES_READY_SECONDS = 60
# A mail server that answers does so within seconds. Without one, everything but emails works.
_MAIL_SECONDS = 15
_POLL_SECONDS = 0.5
_ENDED = {"BACKOFF", "EXITED", "FATAL"}


class ProgramStates:
    """The state of each supervised program. Queries supervisord at most twice a second."""

    def __init__(self, supervisor: Supervisor, process: subprocess.Popen[bytes]) -> None:
        self._supervisor, self._process = supervisor, process
        self._states: dict[str, dict[str, Any]] = {}
        self._read_at = 0.0

    def alive(self, name: str) -> Alive:
        """Return a function that returns True while the program runs."""
        return lambda: self._is_alive(name)

    def _is_alive(self, name: str) -> bool:
        if time.monotonic() - self._read_at > _POLL_SECONDS:
            self._states, self._read_at = self._supervisor.programs(), time.monotonic()
        state = self._states.get(name, {}).get("statename")
        return self._process.poll() is None and state not in _ENDED


class Startup:
    """One start of the stack.

    If a program does not answer, the start fails with an error that shows the end of the program's log. If
    only an external mail server (SMTP_HOST) does not work, the start succeeds, and `mail_problem` has the
    reason.
    """

    def __init__(
        self,
        stack: Stack,
        servers: list[str],
        environment: Mapping[str, str],
        supervisor: Supervisor,
        states: ProgramStates,
        progress: Progress,
        roles: Sequence[str] = (),
    ) -> None:
        self._roles = roles
        self._stack, self._servers, self._environment = stack, servers, environment
        self._supervisor, self._states, self._progress = supervisor, states, progress
        self.mail_problem = ""

    async def run(self) -> None:
        """Wait for the servers, create schema and topics, then start the services and wait for them.

        Raises `EmbeddedError` if a program ends or does not answer in time, or if a command fails.
        """
        await asyncio.gather(self._prepare_database(), self._prepare_kafka(), self._wait_for_mailbox())
        self._progress(f"Starting the services: {', '.join(SERVICES)}")
        # With all services in one process, that process is the gateway.
        consumers = [] if set(self._roles) == set(SERVICES) else ["consumers"]
        for group in (*consumers, "gateway"):
            self._supervisor.start_group(group)
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            # The edge passes the request on to ingest, so its answer covers the whole path.
            await asyncio.gather(*(self._wait_for_service(client, name) for name in (*SERVICES, "edge")))

    async def _prepare_database(self) -> None:
        if "postgres" in self._servers:
            url, alive = self._environment["DATABASE_URL"], self._states.alive("postgres")
            await self._wait_for("postgres", postgres.wait_ready(url, alive=alive))
        self._progress("Migrating the database")
        await self._run_command("deploy.cli.migrate")

    async def _prepare_kafka(self) -> None:
        if "kafka" in self._servers:
            addresses, alive = self._environment["KAFKA_BOOTSTRAP_SERVERS"], self._states.alive("kafka")
            await self._wait_for("kafka", kafka.wait_ready(addresses, alive=alive))
        self._progress("Creating the topics")
        await self._run_command("deploy.cli.topics")

    async def _wait_for_mailbox(self) -> None:
        if "mailbox" in self._servers:
            alive = self._states.alive("mailbox")
            await self._wait_for("mailbox", smtp.wait_ready(self._stack.smtp_port, alive=alive))

    async def _wait_for_service(self, client: httpx.AsyncClient, name: str) -> None:
        url, last_answer = f"{self._stack.url(name)}/readyz", "nothing"
        mail_deadline = time.monotonic() + _MAIL_SECONDS
        program = programs.program_of(name, self._roles)

        async def is_ready() -> bool:
            nonlocal last_answer
            with suppress(httpx.TransportError):
                response = await client.get(url)
                last_answer = response.text
                if name == "notifier" and "mailbox" not in self._servers:
                    self.mail_problem = "" if response.is_success else mail_problem(response)
                    if self.mail_problem:
                        return time.monotonic() > mail_deadline
                return response.is_success
            return False

        try:
            await self._wait_for(
                program,
                wait_until(
                    is_ready, f"{name} on {url}", _SERVICES_READY_SECONDS, self._states.alive(program)
                ),
            )
        except EmbeddedError as error:
            raise EmbeddedError(f"{error}\nIts last answer: {last_answer}") from None

    async def _wait_for(self, name: str, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except EmbeddedError as error:
            log = self._stack.folder / "logs" / f"{name}.log"
            raise EmbeddedError(f"{error}. The end of {log}:\n{_read_tail(log)}") from None

    async def _run_command(self, module: str) -> None:
        # Not asyncio.create_subprocess_exec: an interrupt while it starts would end in a traceback.
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
            process.kill()  # after an interrupt; a process that has ended is not affected
        if process.returncode != 0:
            raise EmbeddedError(f"`python -m {module}` failed:\n{output.strip()}")


def mail_problem(answer: httpx.Response) -> str:
    """Return why the mail server does not work, or an empty text.

    `answer` is the notifier's `/readyz`. If the notifier also has another problem, the text is empty, so that
    the start fails.
    """
    try:
        failed = {name: part["reason"] for name, part in answer.json()["parts"].items() if not part["ok"]}
    except (ValueError, KeyError, TypeError):
        return ""
    # A consumer whose mails wait for the server is paused.
    if failed.get("consumer", "").startswith("paused"):
        del failed["consumer"]
    return failed["smtp"] if failed.keys() == {"smtp"} else ""


def _read_tail(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(it is empty)"
    except OSError:
        return "(it does not exist)"
