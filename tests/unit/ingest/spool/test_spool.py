"""The spool's limits, its adoption of other folders, and failures of its disk."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from contracts.lead_record import LeadRecord
from runtime.failures import PermanentError
from services.ingest.spool.folder import SpoolFolder
from services.ingest.spool.spool import Spool, SpoolUnavailable
from tests.support.wait import eventually


def record(value: str = "v") -> LeadRecord:
    return LeadRecord(b"key", value.encode(), [("content-type", b"application/json")])


def spooled_files(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.spool"))


@pytest.fixture
async def spool(tmp_path: Path) -> Any:
    made = Spool(tmp_path / "spool", max_bytes=100_000, max_leads=5)
    writer = asyncio.create_task(made.run_writer())
    yield made
    writer.cancel()
    made.close()


async def test_full_spool_rejects_leads_until_it_is_drained(spool: Spool) -> None:
    for _ in range(5):
        await spool.append(record())
    with pytest.raises(SpoolUnavailable, match="full"):
        await spool.append(record())
    sent: list[LeadRecord] = []

    async def send(each: LeadRecord) -> None:
        sent.append(each)

    await spool.drain(send)
    assert len(sent) == 5
    assert (spool.leads, spool.bytes, spool.oldest_age_seconds) == (0, 0, None)
    await spool.append(record())
    assert spool.leads == 1


async def test_probes_of_the_disk_take_no_room_of_leads(spool: Spool) -> None:
    for _ in range(4):
        await spool.append(record())
    await asyncio.gather(spool.check(), spool.check(), spool.append(record()))
    assert spool.leads == 5


async def test_concurrent_appends_share_one_fsync(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fdatasync", synced.append)
    await asyncio.gather(*(spool.append(record(str(n))) for n in range(5)))
    assert len(synced) < 5


async def test_failed_fsync_rejects_the_lead_and_ends_the_segment(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await spool.append(record("before"))

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("os.fdatasync", fail)
        with pytest.raises(SpoolUnavailable, match="disk failed"):
            await spool.append(record("refused"))
    await spool.append(record("after"))
    assert len(list((tmp_path / "spool").glob("*/*.spool"))) == 2
    sent: list[bytes] = []

    async def send(each: LeadRecord) -> None:
        sent.append(each.value)

    await spool.drain(send)
    assert sent[0] == b"before"
    assert sent[-1] == b"after"


async def test_append_rejects_the_lead_in_time_if_the_disk_hangs(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spool.append(record())  # its folder is there, and is closed at the end whatever hangs
    monkeypatch.setattr("services.ingest.spool.spool.APPEND_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(SpoolFolder, "append", lambda *_: __import__("time").sleep(0.3))
    with pytest.raises(SpoolUnavailable, match="does not answer"):
        await spool.append(record())


async def test_only_folders_of_dead_workers_are_adopted(tmp_path: Path) -> None:
    live = Spool(tmp_path, max_bytes=100_000, max_leads=5)
    other = Spool(tmp_path, max_bytes=100_000, max_leads=5)
    writer = asyncio.create_task(live.run_writer())
    await live.append(record())
    await other.adopt()
    assert other.leads == 0
    writer.cancel()
    live.close()
    await other.adopt()

    async def leads() -> int:
        return other.leads

    assert await eventually(leads) == 1
    other.close()


async def test_regression_segment_growing_after_adopt_is_published_once(
    tmp_path: Path,
) -> None:
    live = Spool(tmp_path, max_bytes=100_000, max_leads=100)
    dead = Spool(tmp_path, max_bytes=100_000, max_leads=100)
    writers = [asyncio.create_task(spool.run_writer()) for spool in (live, dead)]
    await live.append(record("a1"))
    await dead.append(record("b1"))
    writers[1].cancel()
    dead.close()
    await live.adopt()
    await live.append(record("a2"))  # into the file of a1, which is older than the adopted one
    assert live.leads == 3
    sent: list[bytes] = []

    async def send(each: LeadRecord) -> None:
        sent.append(each.value)

    await live.drain(send)
    assert sent == [b"a1", b"a2", b"b1"]
    assert live.leads == 0
    writers[0].cancel()
    live.close()


async def test_regression_drain_continues_after_an_unreadable_file(spool: Spool, tmp_path: Path) -> None:
    await spool.append(record("gone"))
    (file,) = (tmp_path / "spool").glob("*/*.spool")
    assert spool._folder
    spool._folder.seal()
    await spool.append(record("behind"))
    file.unlink()
    sent: list[bytes] = []

    async def send(each: LeadRecord) -> None:
        sent.append(each.value)

    with pytest.raises(FileNotFoundError):
        await spool.drain(send)
    assert sent == [b"behind"]
    assert spool.leads == 1


async def test_regression_full_disk_gets_no_file_per_rejected_lead(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdatasync", fail)
    for _ in range(3):
        with pytest.raises(SpoolUnavailable):
            await spool.append(record())
    assert list((tmp_path / "spool").glob("*/*.spool")) == []


async def test_regression_append_works_while_a_large_spool_is_adopted(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_all = SpoolFolder.list_all

    def slow(root: Path) -> list[Path]:
        time.sleep(1)
        return list_all(root)

    monkeypatch.setattr(SpoolFolder, "list_all", slow)
    adopting = asyncio.create_task(spool.adopt())
    await asyncio.sleep(0)
    await asyncio.wait_for(spool.append(record()), 0.9)
    await adopting
    assert spool.leads == 1


async def test_regression_adopt_ignores_a_folder_under_construction(tmp_path: Path) -> None:
    # Adopted between its making and its lock, it was gone for its maker: a 503.
    (tmp_path / ".00000000000000000001-7").mkdir()
    await Spool(tmp_path, max_bytes=100_000, max_leads=5).adopt()
    assert (tmp_path / ".00000000000000000001-7").exists()


async def test_regression_drain_keeps_a_rejected_lead_and_continues(spool: Spool, tmp_path: Path) -> None:
    sent: list[bytes] = []

    async def send(each: LeadRecord) -> None:
        if each.value == b"large":
            raise PermanentError("record too large for the topic")
        sent.append(each.value)

    for value in ("first", "large", "last"):
        await spool.append(record(value))
    await spool.drain(send)
    assert sent == [b"first", b"last"]
    assert spool.leads == 0
    (kept,) = (tmp_path / "spool").glob("*/*.damaged")
    assert b"large" in kept.read_bytes()


async def test_regression_adopt_skips_unreadable_folders_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "spool"
    for value in ("unreadable", "second", "third"):
        dead = Spool(root, max_bytes=100_000, max_leads=5)
        writer = asyncio.create_task(dead.run_writer())
        await dead.append(record(value))
        writer.cancel()
        dead.close()
    first, second, _ = spooled_files(root)
    # Nobody may lock the second folder, and nobody can read the first one's file.
    (second.parent / "lock").unlink()
    (second.parent / "lock").mkdir()
    read_bytes = Path.read_bytes

    def reads(path: Path) -> bytes:
        if path == first:
            raise OSError(5, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", reads)
    spool, sent = Spool(root, max_bytes=100_000, max_leads=5), list[bytes]()

    async def send(each: LeadRecord) -> None:
        sent.append(each.value)

    await spool.adopt()
    assert spool.leads == 3  # an unreadable file does not count as empty
    with pytest.raises(OSError, match="Input/output"):
        await spool.drain(send)
    assert sent == [b"third"]
    assert first.exists()
    assert second.exists()
    spool.close()
