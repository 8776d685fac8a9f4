"""`LeadWriter` itself, on a real spool folder and a Kafka that is there, away or hung."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.tasks import run_in_background
from services.ingest.lead_record import LeadRecord
from services.ingest.lead_writer import FAILURES_TO_OPEN, LeadWriter
from services.ingest.publisher import LeadPublisher
from services.ingest.spool.entries import SpoolEntry, encode
from services.ingest.spool.folder import SpoolFolder
from services.ingest.spool.spool import Spool
from tests.support.wait import eventually


class FakeKafka:
    """What a lead's publisher is to `LeadWriter`."""

    def __init__(self) -> None:
        self.connected, self.away, self.hangs = True, False, False
        self.values: list[bytes] = []

    async def publish(self, record: LeadRecord) -> None:
        await self.check()
        self.values.append(record.value)

    async def check(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise DependencyUnavailable("kafka", "kafka does not answer")


def record(value: str) -> LeadRecord:
    return LeadRecord(b"key", value.encode(), [("content-type", b"application/json")])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.lead_writer.DRAIN_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("services.ingest.lead_writer.ADOPT_SECONDS", 0.05)
    monkeypatch.setattr("services.ingest.lead_writer.TRIAL_SECONDS", 0.0)
    monkeypatch.setattr("services.ingest.lead_writer.KAFKA_CHECK_SECONDS", 0.05)
    monkeypatch.setattr("runtime.health.REUSE_SECONDS", 0.0)


class Gateway:
    """An `LeadWriter` with its spool and its drain."""

    def __init__(self, root: Path) -> None:
        self.kafka, self.health = FakeKafka(), Health()
        self.spool = Spool(root, max_bytes=100_000, max_leads=50)
        self.writer = LeadWriter(cast("LeadPublisher", self.kafka), self.spool, self.health)

    async def depth(self) -> int:
        return self.spool.leads

    async def size(self) -> int:
        return self.spool.bytes

    async def published(self) -> list[bytes]:
        return self.kafka.values

    async def reason(self) -> str:
        await self.health.refresh()
        return self.health.parts["intake"].reason

    async def breaker(self) -> str:
        return self.writer.breaker

    async def open_breaker(self) -> None:
        self.kafka.away = True
        for number in range(FAILURES_TO_OPEN):
            await self.writer.publish(record(f"open {number}"))


@asynccontextmanager
async def started(root: Path, *, drains: bool = True) -> AsyncIterator[Gateway]:
    made = Gateway(root)
    async with AsyncExitStack() as stack:
        stack.callback(made.spool.close)
        await stack.enter_async_context(run_in_background(made.spool.run_writer(), "spool writer"))
        if drains:
            await stack.enter_async_context(run_in_background(made.writer.run_drain(), "spool drain"))
        yield made


def leave(root: Path, data: bytes) -> Path:
    """Leave a segment as a dead worker does."""
    folder = root / "00000000000000000001-7"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    segment = folder / "00000000000000000002.spool"
    segment.write_bytes(data)
    return segment


LEAD = encode(SpoolEntry(record("left"), 1.0))


def failing(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> dict[str, bool]:
    """Make a method fail with EIO until `fails` is unset."""
    original, state = getattr(owner, name), {"fails": True}

    def fail(*arguments: Any) -> Any:
        if state["fails"]:
            raise OSError(errno.EIO, "Input/output error")
        return original(*arguments)

    monkeypatch.setattr(owner, name, fail)
    return state


async def test_regression_a_segment_that_could_not_be_read_at_its_adoption_is_published_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its leads were on the disk for ever, and the depth was 0.
    leave(tmp_path, LEAD)
    disk = failing(monkeypatch, Path, "read_bytes")
    async with started(tmp_path) as gateway:
        await eventually(gateway.depth, until=lambda n: n == 1, what="a depth that is not 0")
        assert gateway.spool.bytes == len(LEAD)
        disk["fails"] = False
        await eventually(gateway.published, until=lambda values: values == [b"left"], what="its lead")
        await eventually(gateway.depth, until=lambda n: n == 0, what="an empty spool")


async def test_regression_what_could_not_be_read_is_counted_also_while_kafka_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path, LEAD * 3)
    disk = failing(monkeypatch, Path, "read_bytes")
    async with started(tmp_path) as gateway:
        gateway.kafka.connected = False
        await eventually(gateway.depth, until=lambda n: n == 1, what="a depth that is not 0")
        disk["fails"] = False
        await eventually(gateway.depth, until=lambda n: n == 3, what="all of its leads")


@pytest.mark.parametrize("data", [LEAD[: len(LEAD) // 2], b""], ids=["a torn line", "nothing"])
async def test_regression_a_segment_without_a_whole_line_does_not_stay(tmp_path: Path, data: bytes) -> None:
    segment = leave(tmp_path, data)
    async with started(tmp_path) as gateway:

        async def stays() -> bool:
            return segment.exists()

        await eventually(stays, until=lambda there: not there, what="the segment's end")
        await eventually(gateway.size, until=lambda n: n == 0, what="no bytes")

        async def damaged() -> int:
            return gateway.spool.damaged_files

        assert await eventually(damaged, until=lambda n: n == bool(data), what="its count") == bool(data)
    assert segment.with_suffix(".damaged").exists() is bool(data)


@pytest.mark.parametrize("method", ["claim", "list_all", "list_segments"])
async def test_regression_a_folder_that_cannot_be_opened_for_a_while_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    leave(tmp_path, LEAD)
    disk = failing(monkeypatch, SpoolFolder, method)
    async with started(tmp_path) as gateway:
        await eventually(gateway.depth, until=lambda n: n == 1, what="a depth that is not 0")
        disk["fails"] = False
        await eventually(gateway.published, until=lambda values: values == [b"left"], what="its lead")
        await eventually(gateway.depth, until=lambda n: n == 0, what="an empty spool")


async def test_regression_readiness_is_red_only_while_neither_kafka_nor_the_disk_takes_a_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One refused lead turned it red, and the load balancer sent no other that could turn it green.
    async with started(tmp_path) as gateway:
        assert await gateway.reason() == ""
        gateway.kafka.away = True
        assert await gateway.reason() == ""
        disk = failing(monkeypatch, SpoolFolder, "append")
        probe = failing(monkeypatch, SpoolFolder, "probe")
        # Red before any lead is refused.
        assert await gateway.reason() == "kafka is away and spool's disk failed"
        with pytest.raises(DependencyUnavailable):
            await gateway.writer.publish(record("refused"))
        disk["fails"] = probe["fails"] = False
        assert await gateway.reason() == ""
        disk["fails"] = probe["fails"] = True
        assert await gateway.reason() == "kafka is away and spool's disk failed"
        gateway.kafka.away = False
        assert await gateway.reason() == ""


async def test_readiness_does_not_wait_for_a_kafka_that_hangs(tmp_path: Path) -> None:
    async with started(tmp_path) as gateway:
        gateway.kafka.hangs = True
        assert await gateway.reason() == ""


async def test_a_full_spool_is_not_ready_without_kafka(tmp_path: Path) -> None:
    async with started(tmp_path, drains=False) as gateway:
        gateway.kafka.connected, gateway.kafka.away = False, True
        for number in range(50):
            await gateway.writer.publish(record(str(number)))
        assert await gateway.reason() == "kafka is away and spool is full"


async def test_regression_a_spool_that_fails_does_not_keep_leads_from_a_kafka_that_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The drain was to close the breaker, and could not read its files: every lead was refused.
    failing(monkeypatch, Path, "read_bytes")
    async with started(tmp_path) as gateway:
        await gateway.open_breaker()
        failing(monkeypatch, SpoolFolder, "append")
        gateway.kafka.away = False
        await gateway.writer.publish(record("first"))
        assert gateway.writer.breaker == "closed"
        await gateway.writer.publish(record("second"))
        assert gateway.kafka.values == [b"first", b"second"]


async def test_the_breaker_closes_without_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(tmp_path) as gateway:
        disk = failing(monkeypatch, SpoolFolder, "append")
        gateway.kafka.away = True
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(DependencyUnavailable):
                await gateway.writer.publish(record("refused"))
        assert gateway.writer.breaker == "open"
        disk["fails"] = False
        gateway.kafka.away = False
        await eventually(gateway.breaker, until=lambda state: state == "closed", what="a closed breaker")
