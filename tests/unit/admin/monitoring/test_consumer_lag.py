"""The lag of the consumer groups, without a broker."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from contracts import topics
from runtime.http.server import KEEP_ALIVE_SECONDS
from runtime.settings import Kafka
from services.admin.dashboard import headline
from services.admin.monitoring.consumer_lag import Connection, LagReader
from services.admin.monitoring.service_clients import KEEPALIVE_SECONDS


class _Client:
    async def list_consumer_group_offsets(self, _: str) -> dict[Any, Any]:
        return {}

    async def end_offsets(self, _: object) -> dict[Any, Any]:
        return {}

    beginning_offsets = end_offsets


class _Reader(LagReader):
    def __init__(self) -> None:
        super().__init__(Kafka(bootstrap_servers="localhost:9092"))
        self.reads = 0

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        yield cast("Connection", (_Client(), _Client()))

    async def _list_partitions(self, _: Any) -> dict[str, list[Any]]:
        self.reads += 1
        return {topic.name: [] for topic in topics.ALL}


async def test_two_reads_at_the_same_moment_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lag = _Reader()
    assert await lag.read() == await lag.read(1.0)
    assert lag.reads == 1
    now += 1.0
    await lag.read(1.0)
    assert lag.reads == 2
    await lag.read()
    assert lag.reads == 3


def test_a_poll_finds_the_services_connections_open() -> None:
    assert headline.POLL_SECONDS < KEEPALIVE_SECONDS < KEEP_ALIVE_SECONDS
