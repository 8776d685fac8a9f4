"""`make up` for real: one command starts all of it, and none of it outlives what ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest

from deploy.embedded import state
from deploy.embedded.environment import EXAMPLE_TOKENS, REPLACES
from deploy.embedded.processes import orphans
from deploy.embedded.servers.standalone import free_ports
from deploy.embedded.settings import ROOT, Stack, port_variable
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

ADMIN = {"Authorization": f"Bearer {EXAMPLE_TOKENS['FASTCORE_ADMIN_TOKEN']}"}
SITE = {"Authorization": f"Bearer {EXAMPLE_TOKENS['FASTCORE_SITE_INGEST_TOKEN']}"}
LEAD = {"name": "Ada", "email": "ada@example.com", "service": "Web", "message": "Please call."}


class Installation:
    """One data folder on ports of its own, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = [name.removesuffix("_port") for name in Stack.model_fields if name.endswith("_port")]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.environment = {name: value for name, value in os.environ.items() if name not in REPLACES}
        self.environment |= {port_variable(name): str(port) for name, port in self.ports.items()}
        self.environment |= {"FASTCORE_EMBEDDED_DATA": str(folder), **EXAMPLE_TOKENS, "DEBUG": "true"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.embedded", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def up(self) -> str:
        done = self.run("up", "--detach")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def up_in_the_foreground(self) -> Iterator[subprocess.Popen[str]]:
        # What a shell runs in the background ignores interrupts, and all that it starts does: not this.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.embedded", "up"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        with process:
            assert process.stdout
            try:
                assert any("Ctrl-C stops it" in line for line in process.stdout)
                yield process
            finally:
                process.kill()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def client(self) -> httpx.AsyncClient:
        return plain_client(base_url=self.url("edge"), timeout=10)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    ours = Installation(tmp_path_factory.mktemp("embedded") / "data")
    try:
        ours.up()
        yield ours
    finally:
        ours.run("reset", "--yes")


async def test_a_lead_posted_to_the_edge_is_stored_and_mailed(installation: Installation) -> None:
    async with (
        installation.client() as edge,
        plain_client(base_url=installation.url("mailbox")) as mailbox,
    ):
        posted = await edge.post("/inbound/leads", json=LEAD, headers=SITE)
        assert posted.status_code == 201, posted.text
        lead_id = UUID(posted.json()["leadId"])

        async def stored() -> int:
            return (await edge.get(f"/admin/leads/{lead_id}", headers=ADMIN)).status_code

        async def mailed() -> set[str]:
            return {to for mail in (await mailbox.get("/api/messages")).json() for to in mail["to"]}

        await eventually(stored, until=lambda status: status == 200, what="the lead in the inbox")
        await eventually(
            mailed, until=lambda to: to >= {"ada@example.com", "admin@fastcore.example"}, what="both mails"
        )


async def test_internal_routes_do_not_leave_the_machine_by_the_edge(installation: Installation) -> None:
    async with installation.client() as edge:
        assert (await edge.get("/internal/status")).status_code == 404
        assert (await edge.get("/admin/docs")).status_code == 200
        assert (await edge.get("/docs")).status_code == 200


def test_a_second_up_says_that_one_is_running(installation: Installation) -> None:
    running = state.read(installation.folder)
    assert running
    second = installation.run("up")
    assert second.returncode == 1
    assert (
        f"already running: pid {running.pid}, http://localhost:{installation.ports['edge']}" in second.stderr
    )


def test_the_state_is_readable_to_its_owner_only(installation: Installation) -> None:
    assert (installation.folder / "run" / "state.json").stat().st_mode & 0o777 == 0o600
    assert installation.folder.stat().st_mode & 0o777 == 0o700


def test_psql_opens_the_database_as_the_services_or_as_the_owner(installation: Installation) -> None:
    query = ("-Atc", "select current_user")
    assert installation.run("psql", *query).stdout == "fastcore\n"
    assert installation.run("psql", "--owner", *query).stdout == "fastcore_owner\n"


async def test_a_program_that_dies_is_started_again(installation: Installation) -> None:
    # The edge: it is in no consumer group, which would miss a killed member for its session's 30 s.
    before = _pid_of_edge(installation)
    os.kill(before, signal.SIGKILL)

    async def answers() -> int:
        async with installation.client() as edge:
            try:
                return (await edge.get("/livez")).status_code
            except httpx.TransportError:
                return 0

    await eventually(answers, until=lambda status: status == 200, what="the edge again")
    assert _pid_of_edge(installation) not in (0, before)


async def test_a_mail_server_that_does_not_work_is_named(
    installation: Installation,
) -> None:
    installation.run("down")
    (port,) = free_ports(1)
    installation.environment |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_TLS": "false"}
    try:
        message = installation.up()
        assert f"No email is sent: the mail server 127.0.0.1:{port} does not work" in message
        assert "Correct SMTP_HOST, SMTP_PORT" in message
        async with installation.client() as edge:
            posted = await edge.post("/inbound/leads", json=LEAD, headers=SITE)
            assert posted.status_code == 201, posted.text
        # A lead that waits for its emails keeps the next start from nothing either.
        installation.run("down")
        assert "No email is sent" in installation.up()
    finally:
        for name in ("SMTP_HOST", "SMTP_PORT", "SMTP_TLS"):
            del installation.environment[name]
        installation.run("down")
        installation.up()


async def test_down_cleans_up_after_a_crash_and_an_interrupt_after_that(installation: Installation) -> None:
    async with installation.client() as edge:
        posted = await edge.post("/inbound/leads", json=LEAD, headers=SITE)
    lead_id = UUID(posted.json()["leadId"])

    async def stored() -> str:
        return installation.run("psql", "-Atc", f"select id from lead_inbox where id = '{lead_id}'").stdout

    await eventually(stored, every=0.5, what="the lead in the inbox")

    supervisor = orphans.find_supervisor(installation.folder)
    assert supervisor
    supervisor.kill()
    supervisor.wait(5)
    assert orphans.find_processes(installation.folder), "nothing was left behind to clean up"
    down = installation.run("down")
    assert (down.returncode, orphans.find_processes(installation.folder)) == (0, []), down.stdout

    with installation.up_in_the_foreground() as process:
        assert await stored() == f"{lead_id}\n", "the data did not survive"
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    assert orphans.find_processes(installation.folder) == []
    assert installation.run("status").returncode == 3


def _pid_of_edge(installation: Installation) -> int:
    for process in orphans.find_processes(installation.folder):
        with suppress(psutil.Error):
            if process.name() == "caddy":
                return process.pid
    return 0
