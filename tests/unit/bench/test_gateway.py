"""What the gateway is compared with, per core and per machine."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.settings import Kafka
from tests.bench import gateway
from tests.bench.environment import BenchEnvironment
from tests.bench.placement import CORES
from tests.bench.references import outpost
from tests.support.stack import Database, Stack

GATEWAYS = {"ingest", *gateway.REFERENCES}


class FakeStack:
    bootstrap_servers = "127.0.0.1:1"

    async def new_topics(self) -> Kafka:
        return Kafka(bootstrap_servers=self.bootstrap_servers, topic_prefix="t.")

    async def new_database(self) -> Database:
        return Database("owner", "service")

    async def drop_topics(self, _: Kafka) -> None: ...

    async def drop_database(self, _: Database) -> None: ...


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Start nothing; return with how many workers each gateway would have been started."""
    started = dict[str, int]()

    @contextlib.asynccontextmanager
    async def run(_: Any, name: str, environment: dict[str, str], count: int = 0) -> AsyncIterator[Any]:
        started[name] = count or int(environment["FASTCORE_INGEST_WORKERS"])
        yield SimpleNamespace(url=f"http://{name}")

    async def rate(_: str, seconds: object) -> float:
        assert isinstance(seconds, int), "wrk takes whole seconds"
        return 100.0

    async def answers(*_: Any) -> Any:
        return SimpleNamespace(p50=1.0, p99=2.0, refused=0)

    monkeypatch.setattr(gateway, "program", run)
    monkeypatch.setattr(gateway, "reference_gateway", run)
    monkeypatch.setattr(gateway, "accepted_a_second", rate)
    monkeypatch.setattr(gateway, "answered_in", answers)
    monkeypatch.setattr(gateway, "need_wrk", lambda: None)
    return started


def bench() -> BenchEnvironment:
    return BenchEnvironment(cast("Stack", FakeStack()), Path(), quick=True, turns=2, say=lambda _: None)


async def test_per_core_each_contender_has_one_worker(workers: dict[str, int]) -> None:
    results = await gateway.compare_per_core(bench())
    assert workers == dict.fromkeys(GATEWAYS, 1)
    assert results[0].name == "gateway with one worker, leads a second"
    assert {result.unit for result in results} == {"leads/s", "ms"}


async def test_per_machine_each_contender_has_a_worker_for_each_core(workers: dict[str, int]) -> None:
    results = await gateway.compare_per_machine(bench())
    assert workers == dict.fromkeys({"ingest", "modelled", "bare"}, len(CORES))
    assert results[0].name == f"gateway with {len(CORES)} workers, leads a second"
    assert [result.against for result in results] == [
        gateway.REFERENCES["modelled"][0], gateway.REFERENCES["bare"][0], "itself with Kafka there",
    ]  # fmt: skip


@pytest.mark.parametrize("draws", [True, False])
async def test_curves_are_measured_only_when_a_run_draws_them(workers: dict[str, int], draws: bool) -> None:
    measured = replace(bench(), draws=draws)
    await gateway.compare_per_core(measured)
    assert bool(measured.curves) is draws


@pytest.mark.parametrize("folder", [None, Path("built")])
async def test_outpost_is_compared_per_machine_where_it_is_built(
    folder: Path | None, workers: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.asynccontextmanager
    async def publishing(_: BenchEnvironment, programs: Path) -> AsyncIterator[Any]:
        assert programs == folder

        async def rate() -> float:
            return 200.0

        yield rate

    monkeypatch.setattr(outpost, "publishing", publishing)
    measured = replace(bench(), outpost=folder)
    results = await gateway.compare_per_machine(measured) + await gateway.compare_per_core(measured)
    rows = [result for result in results if result.against == outpost.NAME]
    assert [(row.name, row.ratio) for row in rows] == (
        [(f"gateway with {len(CORES)} workers, leads a second", 0.5)] if folder else []
    )
