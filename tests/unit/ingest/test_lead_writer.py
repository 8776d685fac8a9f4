"""`LeadWriter` on a real spool folder, with a Kafka that is available, unavailable or hanging."""

import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from contracts.headers import CANARY
from contracts.lead_record import LeadRecord
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.tasks import run_in_background
from services.ingest.lead_writer import FAILURES_TO_OPEN, IDLE_PAUSE_SECONDS, LeadWriter
from services.ingest.publisher import LeadPublisher
from services.ingest.spool.entries import SpoolEntry, encode
from services.ingest.spool.folder import SpoolFolder
from services.ingest.spool.spool import Spool
from tests.support.services.gateway import FakeLeadPublisher
from tests.support.wait import eventually


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
    """A `LeadWriter` with its spool and its drain."""

    def __init__(self, root: Path) -> None:
        self.kafka, self.health = FakeLeadPublisher(), Health()
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
        self.kafka.unavailable = True
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


def write_segment(root: Path, data: bytes) -> Path:
    """Write a segment into the folder of a dead worker."""
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


async def test_regression_unreadable_segment_is_published_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its leads stayed on the disk forever, and the depth was 0.
    write_segment(tmp_path, LEAD)
    disk = failing(monkeypatch, Path, "read_bytes")
    async with started(tmp_path) as gateway:
        await eventually(gateway.depth, until=lambda n: n == 1, what="a depth that is not 0")
        assert gateway.spool.bytes == len(LEAD)
        disk["fails"] = False
        await eventually(gateway.published, until=lambda values: values == [b"left"], what="its lead")
        await eventually(gateway.depth, until=lambda n: n == 0, what="an empty spool")


async def test_regression_unreadable_segment_is_counted_without_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_segment(tmp_path, LEAD * 3)
    disk = failing(monkeypatch, Path, "read_bytes")
    async with started(tmp_path) as gateway:
        gateway.kafka.connected = False
        await eventually(gateway.depth, until=lambda n: n == 1, what="a depth that is not 0")
        disk["fails"] = False
        await eventually(gateway.depth, until=lambda n: n == 3, what="all of its leads")


@pytest.mark.parametrize("data", [LEAD[: len(LEAD) // 2], b""], ids=["a torn line", "nothing"])
async def test_regression_segment_without_a_complete_line_is_removed(tmp_path: Path, data: bytes) -> None:
    segment = write_segment(tmp_path, data)
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
async def test_regression_unreadable_folder_does_not_count_as_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    write_segment(tmp_path, LEAD)
    disk = failing(monkeypatch, SpoolFolder, method)
    async with started(tmp_path) as gateway:
        await eventually(gateway.depth, until=lambda n: n == 1, what="a depth that is not 0")
        disk["fails"] = False
        await eventually(gateway.published, until=lambda values: values == [b"left"], what="its lead")
        await eventually(gateway.depth, until=lambda n: n == 0, what="an empty spool")


async def test_regression_writer_is_ready_if_kafka_or_the_disk_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One rejected lead made the gateway unready, and the load balancer sent no other lead to end that.
    async with started(tmp_path) as gateway:
        assert await gateway.reason() == ""
        gateway.kafka.unavailable = True
        assert await gateway.reason() == ""
        disk = failing(monkeypatch, SpoolFolder, "append")
        probe = failing(monkeypatch, SpoolFolder, "probe")
        # Unready before any lead is rejected.
        assert await gateway.reason() == "kafka is unavailable and spool's disk failed"
        with pytest.raises(DependencyUnavailable):
            await gateway.writer.publish(record("refused"))
        disk["fails"] = probe["fails"] = False
        assert await gateway.reason() == ""
        disk["fails"] = probe["fails"] = True
        assert await gateway.reason() == "kafka is unavailable and spool's disk failed"
        gateway.kafka.unavailable = False
        assert await gateway.reason() == ""


async def test_readiness_does_not_wait_for_a_hanging_kafka(tmp_path: Path) -> None:
    async with started(tmp_path) as gateway:
        gateway.kafka.hangs = True
        assert await gateway.reason() == ""


async def test_writer_is_not_ready_with_full_spool_and_no_kafka(tmp_path: Path) -> None:
    async with started(tmp_path, drains=False) as gateway:
        gateway.kafka.connected, gateway.kafka.unavailable = False, True
        for number in range(50):
            await gateway.writer.publish(record(str(number)))
        assert await gateway.reason() == "kafka is unavailable and spool is full"


async def test_regression_leads_go_to_kafka_when_the_spool_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the drain could close the breaker, and it could not read its files: every lead was rejected.
    failing(monkeypatch, Path, "read_bytes")
    async with started(tmp_path) as gateway:
        await gateway.open_breaker()
        failing(monkeypatch, SpoolFolder, "append")
        gateway.kafka.unavailable = False
        await gateway.writer.publish(record("first"))
        assert gateway.writer.breaker == "closed"
        await gateway.writer.publish(record("second"))
        assert gateway.kafka.values == [b"first", b"second"]


async def test_breaker_closes_without_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(tmp_path) as gateway:
        disk = failing(monkeypatch, SpoolFolder, "append")
        gateway.kafka.unavailable = True
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(DependencyUnavailable):
                await gateway.writer.publish(record("refused"))
        assert gateway.writer.breaker == "open"
        disk["fails"] = False
        gateway.kafka.unavailable = False
        await eventually(gateway.breaker, until=lambda state: state == "closed", what="a closed breaker")


async def test_the_drain_pauses_longer_only_while_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> float:
        pauses.append(seconds)
        return 0.01

    async def seen() -> set[float]:
        return set(pauses)

    monkeypatch.setattr("services.ingest.lead_writer.seconds_to_next", pause)
    async with started(tmp_path) as gateway:
        await eventually(seen, until=lambda found: found == {IDLE_PAUSE_SECONDS})
        await gateway.open_breaker()
        pauses.clear()
        await eventually(seen, until=lambda found: found == {0.01})


async def test_canaries_leave_the_spool_to_leads(tmp_path: Path) -> None:
    canary = record("canary")
    canary.headers.append((CANARY, str(uuid4()).encode()))
    async with started(tmp_path, drains=False) as gateway:
        await gateway.open_breaker()
        assert not await gateway.writer.publish(canary)  # the spool has room for 50 leads
        for number in range(3):
            await gateway.writer.publish(record(f"lead {number}"))
        with pytest.raises(DependencyUnavailable, match="left to leads"):
            await gateway.writer.publish(canary)
        assert not await gateway.writer.publish(record("lead"))
        gateway.kafka.unavailable = False
        assert gateway.spool.leads == FAILURES_TO_OPEN + 5
