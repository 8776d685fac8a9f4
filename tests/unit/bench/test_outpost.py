"""How the bench runs Outpost as a reference."""

import json
import shutil
import time
from pathlib import Path
from typing import cast

import httpx
import psutil
import pytest
import typer

from tests.bench import __main__ as bench_main
from tests.bench.environment import TOKEN
from tests.bench.references import outpost


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with both programs; the servers are there too."""
    for name in outpost.PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return tmp_path


def test_nothing_is_missing_with_programs_and_servers(programs: Path) -> None:
    assert outpost.missing(programs) == []


def test_a_program_that_cannot_be_run_is_missing(programs: Path) -> None:
    (programs / "outpost").chmod(0o644)
    assert outpost.missing(programs) == [str(programs / "outpost")]


def test_servers_that_are_not_installed_are_missing(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert outpost.missing(programs) == ["redis-server", "epmd", "rabbitmq-server"]


def test_the_bench_says_what_outpost_needs_before_it_measures(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="outpost-server"):
        bench_main.main(outpost=tmp_path)


class FakeOutpost:
    """Outpost's API: answers with what it has got, and queues events for the destinations of `queued`."""

    def __init__(self, *queued: str) -> None:
        self.queued = queued
        self.requests = list[tuple[str, str]]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((request.method, request.url.path.removeprefix("/api/v1")))
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        if request.url.path.endswith("/publish"):
            event = json.loads(request.content)
            assert event["topic"] == outpost.TOPIC
            return httpx.Response(202, json={"id": event["id"], "destination_ids": self.queued})
        return httpx.Response(201, json={"id": "d1"})


@pytest.mark.parametrize("queued", [["d1"], []], ids=["a destination", "none"])
async def test_an_outpost_that_queues_nothing_is_no_reference(
    queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = FakeOutpost(*queued)
    monkeypatch.setattr(
        outpost, "plain_client", lambda: httpx.AsyncClient(transport=httpx.MockTransport(api))
    )
    if queued:
        await outpost._add_destination("http://outpost")
    else:
        with pytest.raises(RuntimeError, match="queued nothing"):
            await outpost._add_destination("http://outpost")
    tenant = f"/tenants/{outpost.TENANT}"
    assert api.requests == [("PUT", tenant), ("POST", f"{tenant}/destinations"), ("POST", "/publish")]


class BusyServer:
    """A server that has used this many seconds of processor time each time it is looked at."""

    def __init__(self, *seconds: float) -> None:
        self.left = list(seconds)

    def children(self, *, recursive: bool) -> list[psutil.Process]:
        assert recursive
        return []

    def cpu_times(self) -> tuple[float, float]:
        return (self.left.pop(0), 0.0)


async def test_the_next_contender_waits_until_the_servers_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outpost, "IDLE_SECONDS", 0.01)
    busy, never = BusyServer(0, 1, 1, 2, 2, 2), BusyServer(*[0.0] * 6)
    await outpost._idle(cast("list[psutil.Process]", [busy, never]))
    assert busy.left == []


def test_a_server_is_killed_with_the_processes_that_it_started(tmp_path: Path) -> None:
    command = ("sh", "-c", "sleep 60 & echo $!; wait")
    with outpost._process(command, {}, tmp_path) as server:
        while not (children := server.children()):
            time.sleep(0.01)
    _, alive = psutil.wait_procs([server, *children], timeout=10)
    assert alive == []
