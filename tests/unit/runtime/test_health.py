"""Readiness is checked at each read, within a timeout."""

import asyncio
import platform
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from runtime import REVISION, VERSION
from runtime.failures import DependencyUnavailable
from runtime.health import Health, routes


@pytest.fixture
def health(monkeypatch: pytest.MonkeyPatch) -> Health:
    monkeypatch.setattr("runtime.health.CHECK_SECONDS", 0.1)
    monkeypatch.setattr("runtime.health.REUSE_SECONDS", 0.0)
    return Health()


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(routes(health))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


class Dependency:
    """A dependency that answers, fails or hangs."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.hangs = False
        self.checks = 0

    async def check(self) -> None:
        self.checks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault:
            raise self.fault


async def test_regression_part_recovers_without_traffic(health: Health, client: httpx.AsyncClient) -> None:
    dependency = Dependency()
    health.check("disk", dependency.check)
    assert (await client.get("/readyz")).status_code == 200
    dependency.fault = DependencyUnavailable("disk", "disk is full")
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["disk"]["reason"]) == (503, "disk is full")
    assert 'fastcore_part_up{part="disk"} 0.0' in (await client.get("/metrics")).text
    dependency.fault = None
    assert 'fastcore_part_up{part="disk"} 1.0' in (await client.get("/metrics")).text
    assert (await client.get("/readyz")).status_code == 200


async def test_hung_check_times_out_and_hides_no_other(health: Health, client: httpx.AsyncClient) -> None:
    hung, healthy = Dependency(), Dependency()
    hung.hangs = True
    health.check("database", hung.check)
    health.check("smtp", healthy.check)
    async with asyncio.timeout(2):
        parts = (await client.get("/readyz")).json()["parts"]
    assert parts["smtp"]["ok"]
    assert (parts["database"]["ok"], parts["database"]["reason"]) == (False, "no answer within 0.1 s")


async def test_check_that_ignores_cancellation_runs_once(health: Health) -> None:
    release, started = asyncio.Event(), 0

    async def stubborn() -> None:
        nonlocal started
        started += 1
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    health.check("database", stubborn)
    for _ in range(3):
        async with asyncio.timeout(2):
            await health.refresh()
        assert not health.ready
    assert started == 1
    release.set()
    await health.refresh()
    assert health.ready


async def test_checks_run_at_most_once_a_second(
    health: Health, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.health.REUSE_SECONDS", 60.0)
    dependency = Dependency()
    health.check("database", dependency.check)
    await asyncio.gather(*(client.get("/readyz") for _ in range(50)))
    assert dependency.checks == 1


async def test_check_with_a_bug_marks_its_part_as_failed(health: Health, client: httpx.AsyncClient) -> None:
    dependency = Dependency()
    dependency.fault = KeyError("bob@example.com")
    health.check("database", dependency.check)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["database"]["reason"] == "check failed (KeyError)"


async def test_unchecked_part_is_not_ready(health: Health) -> None:
    health.check("database", Dependency().check)
    assert not health.ready


async def test_the_metrics_say_which_version_runs(client: httpx.AsyncClient) -> None:
    labels = f'python_version="{platform.python_version()}",revision="{REVISION}",version="{VERSION}"'
    assert f"fastcore_build_info{{{labels}}} 1.0" in (await client.get("/metrics")).text
