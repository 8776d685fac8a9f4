"""What a sealer remembers of the log: by key, by process and in the file, also beside other flushers."""

import asyncio
import os
import tracemalloc
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from runtime import metrics
from runtime.database.postgres import open_pool, snapshot
from runtime.database.sealed_log import read_leaf_hashes, read_leaves
from runtime.settings import Postgres
from runtime.transparency_log.merkle_tree import hash_leaf
from runtime.transparency_log.signed_note import SigningKey
from services.flusher.jobs import audit_seal
from services.flusher.jobs.audit_checkpoint_file import CheckpointFile
from tests.support.sealed_log import KEY, PUBLIC_KEY, add_entries, new_sealer, restore_to, seal
from tests.support.wait import eventually


async def test_regression_a_key_is_replaced_while_nothing_happens(
    postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    file, new = tmp_path / "checkpoint", SigningKey.generate(KEY.name)
    await add_entries(db, 3)
    await seal(postgres, file=file)
    assert (await seal(postgres, (new, KEY), file)).reason is None  # nothing to sign with both
    report = await seal(postgres, (new,), file)
    assert report.reason is not None
    for _ in range(2):
        assert (await seal(postgres, (new,), file, (PUBLIC_KEY,))).reason is None
        await add_entries(db, 1)


async def test_the_former_key_of_another_name_vouches_for_nothing(
    postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    file, new = tmp_path / "checkpoint", SigningKey.generate("audit.example.com/2")
    await add_entries(db, 3)
    await seal(postgres, file=file)
    report = await seal(postgres, (new,), file, (PUBLIC_KEY,))
    assert report.reason == "none of the keys has signed the checkpoint in FASTCORE_AUDIT_CHECKPOINT_FILE"


async def test_regression_a_log_may_return_to_a_former_name(postgres: Postgres, db: Any) -> None:
    other = SigningKey.generate("audit.example.com/2")
    await add_entries(db, 3)
    for keys in ((KEY,), (other,), (KEY,), (other,)):
        assert (await seal(postgres, keys)).reason is None
    await add_entries(db, 1)
    assert (await seal(postgres)).details == {"sealed": 1, "entries": 4}


async def test_regression_a_flusher_that_does_not_seal_notices_a_restore(
    postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_seal, "WATCH_SECONDS", 0.05)
    file = tmp_path / "checkpoint of the other flusher"
    async with open_pool(postgres, "test") as pool:
        watching = asyncio.create_task(new_sealer(pool, file=file).watch())
        try:
            for count in (2, 1):
                await add_entries(db, count)
                await seal(postgres)

            async def is_stored() -> bool:
                return file.exists() and file.read_text(encoding="utf-8").startswith(f"{KEY.name}\n3\n")

            await eventually(is_stored)
            await restore_to(db, 2)
            await add_entries(db, 5)
            assert (await seal(postgres)).reason is None  # a new flusher without a file knows nothing

            async def is_refused() -> bool:
                return REGISTRY.get_sample_value("fastcore_audit_seal_refused") == 1

            await eventually(is_refused)
            assert await is_stored()
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            metrics.AUDIT_SEAL_REFUSED.set(0)


async def test_the_watch_survives_an_unavailable_database(postgres: Postgres, db: Any) -> None:
    async with open_pool(postgres, "test") as pool:
        sealer = new_sealer(pool)
    watching = asyncio.create_task(sealer.watch())  # its pool is closed
    try:
        await asyncio.sleep(0.1)
        assert not watching.done()
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def test_regression_two_writers_of_one_file_do_not_mix_their_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    files = [CheckpointFile(path) for _ in range(4)]
    notes = [character * 200_000 for character in "abcd"]
    for _ in range(5):
        await asyncio.gather(*(file.write(note) for file, note in zip(files, notes, strict=True)))
        assert await files[0].read() in notes
    assert await asyncio.to_thread(os.listdir, tmp_path) == [path.name]


async def test_the_database_hashes_the_bytes_of_an_entry(postgres: Postgres, db: Any) -> None:
    await add_entries(db, 20)
    async with open_pool(postgres, "test") as pool, snapshot(pool) as connection:
        hashes = await read_leaf_hashes(connection, 0, 100, 100)
        leaves = await read_leaves(connection, 0)
    assert len(hashes) == 20
    assert hashes == [(entry_id, hash_leaf(leaf)) for entry_id, leaf in leaves]


async def test_regression_large_entries_need_no_memory(postgres: Postgres, db: Any) -> None:
    for _ in range(40):
        await db.execute(
            "INSERT INTO audit_log (event_id, event, actor, details_json) VALUES ($1, 'x', 'y', $2)",
            uuid4(),
            {"text": "ä" * 500_000},
        )
    tracemalloc.start()
    try:
        assert (await seal(postgres)).details == {"sealed": 40, "entries": 40}
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
