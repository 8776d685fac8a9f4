"""The receivers of docs/destinations.md and docs/recipes.md run as written: they verify and deduplicate."""

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.lead_events import LeadEvent
from runtime.sites.destinations import Destination
from runtime.sites.secrets import ResolvedDestination
from services.webhooks.client import Request, open_client
from services.webhooks.outcome import Outcome, Result
from services.webhooks.requests import build_request
from tests.support.factories import lead
from tests.support.services.processes import ROOT
from tests.support.wait import eventually

PORT = "9000"
SENT = lead(site="studio")
SECRET = "whsec_ZmFzdGNvcmUgZXhhbXBsZSBzZWNyZXQsIDMyIGI="


@dataclass(frozen=True)
class Program:
    """A receiver: its page, the language of its block, the name of its file, and the command to run it."""

    page: str
    language: str
    file: str
    command: tuple[str, ...]

    @property
    def text(self) -> str:
        page = (ROOT / self.page).read_text(encoding="utf-8")
        (block,) = re.findall(rf"^```{self.language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        return str(block)


PROGRAMS = {
    "python": Program("docs/destinations.md", "python", "receiver.py", (sys.executable, "-u", "receiver.py")),
    "node": Program("docs/recipes.md", "mjs", "receiver.mjs", ("node", "receiver.mjs")),
}
if shutil.which("php"):  # its address is in the command
    PROGRAMS["php"] = Program(
        "docs/recipes.md", "php", "receiver.php", ("php", "-S", "127.0.0.1:9000", "receiver.php")
    )


@dataclass(frozen=True)
class Running:
    """A receiver that runs, as a destination, and the file with what it printed."""

    destination: ResolvedDestination
    log: Path

    def printed(self) -> list[str]:
        return re.findall(r"^lead\.\w+ \S+$", self.log.read_text(), re.MULTILINE)


@pytest.fixture(params=PROGRAMS)
async def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    """Run a page's receiver as a program of its own."""
    program = PROGRAMS[request.param]
    text, command = program.text, " ".join(program.command)
    assert (text + command).count(PORT) == 1
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (tmp_path / program.file).write_text(text.replace(PORT, port))
    (tmp_path / "node_modules").symlink_to(ROOT / "site/node_modules")
    log, url = tmp_path / "log", f"http://127.0.0.1:{port}/hook"
    settings = Destination(name="page", kind="webhook", url=url, secret=("env:X",), allow_private=True)
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            *command.replace(PORT, port).split(),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        )

    async def listens() -> bool:
        assert process.returncode is None, log.read_text()
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", int(port))
            writer.close()
            return True
        return False

    try:
        await eventually(listens, what="the receiver")
        yield Running(ResolvedDestination(settings, url, (SECRET,), {}), log)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)


def _signed(destination: ResolvedDestination, event_id: str) -> Request:
    body = LeadEvent.received(SENT, "Studio Nörd 名").model_dump_json()
    request = build_request(destination, event_id, body, datetime.now(UTC), "")
    assert request
    return request


async def _send(request: Request) -> Outcome:
    async with open_client(5) as client:
        return await client.send(request, datetime.now(UTC))


async def test_a_receiver_accepts_each_event_once(receiver: Running) -> None:
    first, second = str(uuid4()), str(uuid4())
    for event_id in (first, first, second):
        outcome = await _send(_signed(receiver.destination, event_id))
        assert (outcome.result, outcome.status_code) == (Result.DELIVERED, 204), receiver.log.read_text()

    async def printed() -> list[str]:
        return receiver.printed()

    found = await eventually(printed, until=lambda lines: len(lines) >= 2, what="the second event")
    assert found == [f"lead.received {SENT.lead_id}"] * 2


async def test_a_receiver_accepts_either_secret_of_a_rotation(receiver: Running) -> None:
    other = "whsec_" + "QUFB" * 11
    for secrets in ((SECRET, other), (other, SECRET)):
        settings = receiver.destination.settings.model_copy(update={"secret": ("env:X", "env:Y")})
        rotating = replace(receiver.destination, settings=settings, secrets=secrets)
        outcome = await _send(_signed(rotating, str(uuid4())))
        assert outcome.status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1,AAAAA"},  # no base64
        {"webhook-signature": "nonsense"},
        {"webhook-signature": ""},
        {"webhook-id": "another"},
        {"webhook-timestamp": "1700000000"},
    ],
)
async def test_regression_a_receiver_answers_401_to_a_forged_request(
    receiver: Running, headers: dict[str, str]
) -> None:
    request = _signed(receiver.destination, str(uuid4()))
    outcome = await _send(replace(request, headers={**request.headers, **headers}))
    assert (outcome.result, outcome.status_code) == (Result.FAILED, 401)
    outcome = await _send(replace(request, body=request.body.replace(b"lead.received", b"lead.erased")))
    assert outcome.status_code == 401
    assert receiver.printed() == []


async def test_a_receiver_refuses_old_and_future_events_that_are_signed(receiver: Running) -> None:
    for year in (2024, 2099):
        body = LeadEvent.received(SENT, "Studio Nord").model_dump_json()
        now = datetime(year, 1, 1, tzinfo=UTC)
        request = build_request(receiver.destination, str(uuid4()), body, now, "")
        assert request
        assert (await _send(request)).status_code == 401
    assert receiver.printed() == []


async def test_a_receiver_refuses_a_request_without_a_signature(receiver: Running) -> None:
    request = _signed(receiver.destination, str(uuid4()))
    outcome = await _send(replace(request, headers={"Content-Type": "application/json"}))
    assert outcome.status_code == 401
