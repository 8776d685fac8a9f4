"""Damaged segments are stored for 30 days, and within 64 MiB."""

import os
from pathlib import Path

import pytest

from services.ingest.spool import damaged_segments
from services.ingest.spool.damaged_segments import MAX_AGE_SECONDS, prune_damaged
from services.ingest.spool.spool import Spool

NOW = 2_000_000_000.0


def damaged(root: Path, name: str, age_seconds: float, size: int = 10) -> Path:
    folder = root / "00000000000000000001-7"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.damaged"
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - age_seconds, NOW - age_seconds))
    return path


def test_damaged_segment_is_deleted_after_30_days(tmp_path: Path) -> None:
    old, young = damaged(tmp_path, "1", MAX_AGE_SECONDS + 1), damaged(tmp_path, "2", MAX_AGE_SECONDS - 1)
    assert prune_damaged(tmp_path, NOW) == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_oldest_damaged_segments_are_deleted_beyond_the_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damaged_segments, "MAX_BYTES", 25)
    paths = [damaged(tmp_path, str(age), age) for age in (3, 2, 1)]
    assert prune_damaged(tmp_path, NOW) == 1
    assert [path.exists() for path in paths] == [False, True, True]


def test_undamaged_segments_are_never_deleted(tmp_path: Path) -> None:
    waiting = damaged(tmp_path, "1", 10 * MAX_AGE_SECONDS).with_suffix(".spool")
    waiting.write_bytes(b"lead")
    os.utime(waiting, (0, 0))
    prune_damaged(tmp_path, NOW)
    assert waiting.exists()


async def test_adopt_prunes_damaged_segments(tmp_path: Path) -> None:
    old = damaged(tmp_path, "1", MAX_AGE_SECONDS + 1)
    spool = Spool(tmp_path, max_bytes=1000, max_leads=5, now=lambda: NOW)
    await spool.adopt()
    assert not old.exists()
    assert spool.damaged_files == 0
