"""The spool's bounds and its disk's failures."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.ingest.record import Record
from services.ingest.segments import Folder
from services.ingest.spool import Spool, SpoolUnavailable
from tests.support.wait import eventually


def record(value: str = "v") -> Record:
    return Record(b"key", value.encode(), [("content-type", b"application/json")])


@pytest.fixture
async def spool(tmp_path: Path) -> Any:
    made = Spool(tmp_path / "spool", max_bytes=100_000, max_leads=5)
    writer = asyncio.create_task(made.write())
    yield made
    writer.cancel()
    made.close()


async def test_a_full_spool_refuses_and_takes_again_once_it_is_drained(spool: Spool) -> None:
    for _ in range(5):
        await spool.keep(record())
    with pytest.raises(SpoolUnavailable, match="full"):
        await spool.keep(record())
    sent: list[Record] = []

    async def send(each: Record) -> None:
        sent.append(each)

    await spool.drain(send)
    assert len(sent) == 5
    assert (spool.leads, spool.bytes, spool.oldest_age_seconds) == (0, 0, None)
    await spool.keep(record())
    assert spool.leads == 1


async def test_many_leads_at_once_share_one_fsync(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fdatasync", synced.append)
    await asyncio.gather(*(spool.keep(record(str(n))) for n in range(5)))
    assert len(synced) < 5


async def test_a_failed_fsync_refuses_the_lead_and_its_file_is_never_written_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await spool.keep(record("before"))

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("os.fdatasync", fail)
        with pytest.raises(SpoolUnavailable, match="disk failed"):
            await spool.keep(record("refused"))
    await spool.keep(record("after"))
    assert len(list((tmp_path / "spool").glob("*/*.spool"))) == 2
    sent: list[bytes] = []

    async def send(each: Record) -> None:
        sent.append(each.value)

    await spool.drain(send)
    assert sent[0] == b"before"
    assert sent[-1] == b"after"


async def test_a_disk_that_hangs_refuses_the_lead_in_time(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.spool.KEEP_SECONDS", 0.05)
    monkeypatch.setattr(Folder, "append", lambda *_: __import__("time").sleep(0.3))
    with pytest.raises(SpoolUnavailable, match="does not answer"):
        await spool.keep(record())


async def test_a_live_worker_s_folder_is_not_adopted_and_a_dead_one_s_is(tmp_path: Path) -> None:
    live = Spool(tmp_path, max_bytes=100_000, max_leads=5)
    other = Spool(tmp_path, max_bytes=100_000, max_leads=5)
    writer = asyncio.create_task(live.write())
    await live.keep(record())
    await other.adopt()
    assert other.leads == 0
    writer.cancel()
    live.close()
    await other.adopt()

    async def leads() -> int:
        return other.leads

    assert await eventually(leads) == 1
    other.close()
