"""docs/destinations.md: its receiver runs as written, and the service accepts its other examples."""

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.lead_events import LeadData, LeadEvent
from runtime.sites.destinations import Destination
from runtime.sites.file import parse_sites
from runtime.sites.secrets import ResolvedDestination, resolve_destinations
from services.webhooks.client import Request, open_client
from services.webhooks.outcome import Outcome, Result
from services.webhooks.requests import build_request
from services.webhooks.retry_schedule import DEFAULT_WAITS_SECONDS, parse_waits
from tests.contract.test_readme import PAGES, ROOT, blocks
from tests.support.factories import lead
from tests.support.wait import eventually

PAGE = PAGES[ROOT / "docs/destinations.md"]
PORT = "9000"
SENT = lead(site="studio")


def test_its_examples_are_destinations_that_the_file_may_have() -> None:
    examples = blocks(PAGE, "toml")
    assert len(examples) == 3
    sites = parse_sites("\n".join(["[sites.studio]", *examples]).encode())
    assert set(sites.destinations) == {"crm", "sales-chat", "tickets"}
    key = re.search(r'SECRET = "(\S+)"', PAGE)
    assert key
    variables = {
        "CRM_SECRET": key[1],
        "SALES_CHAT_URL": "https://chat.example/",
        "TICKETS_AUTHORIZATION": "x",
    }
    tickets = resolve_destinations(sites, variables)["tickets"]
    body = LeadEvent.received(SENT, "Studio Nord").model_dump_json()
    request = build_request(tickets, "evt-1", body, datetime.now(UTC), "")
    assert request
    title = f"{SENT.service}: {SENT.name}"
    assert json.loads(request.body) == {"title": title, "text": SENT.message, "key": "evt-1"}


def test_it_names_each_key_each_field_and_each_wait() -> None:
    table = "".join(re.findall(r"^\| `.*?\|", PAGE, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", table)) == set(Destination.model_fields)
    (event,) = blocks(PAGE, "json")
    assert set(json.loads(event)["data"]) == set(LeadData.model_fields)
    LeadEvent.model_validate_json(event)
    waits = re.search(r"tried again after (.*?),\n", PAGE)
    assert waits
    units = {"s": "seconds", "min": "minutes", "h": "hours"}
    named = re.findall(r"(\d+) (s|min|h)\b", waits[1])
    found = tuple(timedelta(**{units[unit]: int(number)}) for number, unit in named)
    assert found == parse_waits(DEFAULT_WAITS_SECONDS)


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[ResolvedDestination]:
    """Run the page's receiver as a program of its own, and yield it as a destination."""
    (program,) = blocks(PAGE, "python")
    assert program.count(PORT) == 1
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    file, log = tmp_path / "receiver.py", tmp_path / "log"
    file.write_text(program.replace(PORT, port))
    key = re.search(r'SECRET = "(\S+)"', program)
    assert key
    url = f"http://127.0.0.1:{port}/hook"
    settings = Destination(name="page", kind="webhook", url=url, secret=("env:X",), allow_private=True)
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", file, stdout=output, stderr=subprocess.STDOUT
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
        yield ResolvedDestination(settings, url, (key[1],), {})
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)


def _signed(destination: ResolvedDestination, event_id: str) -> Request:
    body = LeadEvent.received(SENT, "Studio Nord").model_dump_json()
    request = build_request(destination, event_id, body, datetime.now(UTC), "")
    assert request
    return request


async def _send(request: Request) -> Outcome:
    async with open_client(5) as client:
        return await client.send(request, datetime.now(UTC))


async def test_its_receiver_accepts_each_event_once(receiver: ResolvedDestination, tmp_path: Path) -> None:
    first, second = str(uuid4()), str(uuid4())
    for event_id in (first, first, second):
        outcome = await _send(_signed(receiver, event_id))
        assert (outcome.result, outcome.status_code) == (Result.DELIVERED, 204)
    printed = re.findall(r"^lead\.\w+ \S+$", (tmp_path / "log").read_text(), re.MULTILINE)
    assert printed == [f"lead.received {SENT.lead_id}"] * 2


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1,AAAAA"},  # no base64
        {"webhook-signature": "nonsense"},
        {"webhook-id": "another"},
        {"webhook-timestamp": "1700000000"},
    ],
)
async def test_regression_its_receiver_answers_401_to_a_forged_request(
    receiver: ResolvedDestination, tmp_path: Path, headers: dict[str, str]
) -> None:
    request = _signed(receiver, str(uuid4()))
    outcome = await _send(replace(request, headers={**request.headers, **headers}))
    assert (outcome.result, outcome.status_code) == (Result.FAILED, 401)
    outcome = await _send(replace(request, body=request.body.replace(b"lead.received", b"lead.erased")))
    assert outcome.status_code == 401
    assert "lead." not in (tmp_path / "log").read_text()


async def test_its_receiver_refuses_a_request_without_a_signature(receiver: ResolvedDestination) -> None:
    request = _signed(receiver, str(uuid4()))
    outcome = await _send(replace(request, headers={"Content-Type": "application/json"}))
    assert outcome.status_code == 401
