"""The sealer on a real database: what it seals, in what order, and when it refuses to sign."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from runtime.database.postgres import open_pool, snapshot
from runtime.database.sealed_log_check import Findings, SealedLogCheck
from runtime.settings import Postgres
from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint
from runtime.transparency_log.signed_note import SigningKey, VerificationKey
from services.flusher.jobs import audit_seal
from tests.support.sealed_log import (
    KEY,
    PUBLIC_KEY,
    add_entries,
    document_verifier,
    export_to,
    new_sealer,
    restore_to,
    seal,
    undo_protection,
)
from tests.support.stack import Database


async def check(postgres: Postgres, *keys: VerificationKey) -> Findings:
    async with open_pool(postgres, "test") as pool, snapshot(pool) as connection:
        return await SealedLogCheck(connection, keys or (PUBLIC_KEY,)).run()


async def newest(db: Any) -> str:
    note: str = await db.fetchval("SELECT note FROM audit_checkpoint ORDER BY number DESC LIMIT 1")
    return note


async def test_an_existing_log_is_sealed_from_entry_one_and_grows(
    postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_seal, "BATCH", 256)  # a log of several batches
    await add_entries(db, 700)
    assert (await seal(postgres)).details == {"sealed": 700, "entries": 700}
    for total, added in ((701, 1), (1300, 599), (1300, 0)):
        await add_entries(db, added)
        assert (await seal(postgres)).details == {"sealed": added, "entries": total}
    findings = await check(postgres)
    assert (findings.entries, findings.differences) == (1300, [])
    assert findings.last == open_checkpoint(await newest(db), [PUBLIC_KEY])
    log = await export_to(tmp_path / "log.jsonl", db)
    assert "1300 entries are in the log of 1300" in document_verifier()(log, str(PUBLIC_KEY))


async def test_an_empty_log_has_a_checkpoint_and_an_erasure_changes_nothing(
    postgres: Postgres, db: Any
) -> None:
    assert (await seal(postgres)).details == {"sealed": 0, "entries": 0}
    assert open_checkpoint(await newest(db), [PUBLIC_KEY]).size == 0
    assert (await check(postgres)).differences == []


async def test_an_entry_that_commits_late_delays_the_seal_and_not_writers(
    postgres: Postgres, db: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, reached, original = (
        await asyncpg.connect(database.owner),
        asyncio.Event(),
        audit_seal.SQL.list_writers,
    )

    def list_writers(connection: Any) -> Any:
        reached.set()
        return original(connection)

    monkeypatch.setattr(audit_seal.SQL, "list_writers", list_writers)
    try:
        transaction = late.transaction()
        await transaction.start()
        await late.execute(
            "INSERT INTO audit_log (event_id, event, actor) VALUES (gen_random_uuid(), 'x', 'late')"
        )
        await add_entries(db, 3)  # committed with higher ids
        sealing = asyncio.create_task(seal(postgres))
        await asyncio.wait_for(reached.wait(), 20)
        await add_entries(db, 2)  # a writer does not wait for the sealer
        assert not sealing.done()
        await transaction.commit()
        assert (await sealing).details == {"sealed": 4, "entries": 4}
    finally:
        await late.close()
    assert (await seal(postgres)).details == {"sealed": 2, "entries": 6}
    assert (await check(postgres)).differences == []


async def test_a_writer_that_does_not_end_fails_the_run(
    postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_seal, "WRITERS_SECONDS", 0.1)
    async with db.transaction():
        await db.execute(
            "INSERT INTO audit_log (event_id, event, actor) VALUES (gen_random_uuid(), 'x', 'late')"
        )
        report = await seal(postgres)
    assert report.reason == "a transaction that writes to audit_log has not ended"
    assert (await seal(postgres)).details == {"sealed": 1, "entries": 1}


async def test_flushers_that_seal_at_the_same_time_make_one_log(postgres: Postgres, db: Any) -> None:
    await add_entries(db, 300)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(seal(postgres))
    await add_entries(db, 10)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(seal(postgres))
    await seal(postgres)
    findings = await check(postgres)
    assert (findings.entries, findings.differences) == (310, [])


async def test_a_key_is_replaced_while_both_sign(postgres: Postgres, db: Any) -> None:
    new = SigningKey.generate(KEY.name)
    for keys in ((KEY,), (new, KEY), (new,)):
        await add_entries(db, 2)
        assert (await seal(postgres, keys)).reason is None
    assert open_checkpoint(await newest(db), [new.verification_key()]).size == 6
    assert (await check(postgres, PUBLIC_KEY, new.verification_key())).differences == []
    assert (await check(postgres, new.verification_key())).count == 1
    report = await seal(postgres, (KEY,))
    assert report.reason is not None
    assert "no key has signed the last checkpoint" in report.reason


async def test_a_restored_database_is_refused_and_signed_as_a_new_log(
    postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint"
    await add_entries(db, 3)
    await seal(postgres, file=file)
    await add_entries(db, 2)
    await seal(postgres, file=file)
    published = file.read_text(encoding="utf-8")
    await restore_to(db, 3)
    assert (await check(postgres)).differences == []  # the database alone does not show it
    for added in (0, 1, 5):  # fewer, as many and more entries than were signed
        await add_entries(db, added)
        report = await seal(postgres, file=file)
        assert report.reason is not None
        assert report.reason.startswith("fork: 5 entries were signed, and the database has 3")
    assert file.read_text(encoding="utf-8") == published
    assert await db.fetchval("SELECT count(*) FROM audit_checkpoint") == 1
    new = SigningKey.generate("audit.example.com/2")
    refused = await seal(postgres, (new,), file)  # the file belongs to the old log
    assert refused.reason is not None
    file.rename(tmp_path / "old")
    assert (await seal(postgres, (new,), file)).details == {"sealed": 6, "entries": 9}
    assert (await check(postgres, PUBLIC_KEY, new.verification_key())).differences == []


async def test_a_running_sealer_notices_a_restored_database(postgres: Postgres, db: Any) -> None:
    async with open_pool(postgres, "test") as pool:
        sealer = new_sealer(pool)
        for count in (3, 2):
            await add_entries(db, count)
            await sealer.run()
        await restore_to(db, 3)
        await add_entries(db, 9)
        report = await sealer.run()
    assert report.reason is not None
    assert report.reason.startswith("fork")


async def test_a_restored_copy_with_all_entries_continues(
    postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint"
    await add_entries(db, 5)
    await seal(postgres, file=file)
    # Another flusher had an earlier checkpoint, and a third was new.
    older = tmp_path / "older"
    older.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    await add_entries(db, 300)
    assert (await seal(postgres, file=file)).reason is None
    assert (await seal(postgres, file=older)).reason is None
    assert older.read_text(encoding="utf-8") == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            "UPDATE audit_tile SET hashes = sha256(hashes) || substring(hashes FROM 33)",
            "not those of the last",
        ),
        ("DELETE FROM audit_checkpoint", "no checkpoint of them"),
        ("DELETE FROM audit_tile WHERE level = 1", "damaged"),
        ("UPDATE audit_checkpoint SET note = replace(note, '300', '299')", "no key has signed"),
    ],
)
async def test_tiles_that_are_not_those_of_the_checkpoint_are_not_signed(
    postgres: Postgres, db: Any, change: str, reason: str
) -> None:
    await add_entries(db, 300)
    await seal(postgres)
    await undo_protection(db)
    await db.execute(change)
    await add_entries(db, 1)
    report = await seal(postgres)
    assert report.reason is not None
    assert reason in report.reason


async def test_a_missing_folder_of_the_file_is_reported(postgres: Postgres, db: Any, tmp_path: Path) -> None:
    report = await seal(postgres, file=tmp_path / "missing" / "checkpoint")
    assert report.reason == "FASTCORE_AUDIT_CHECKPOINT_FILE cannot be written"


async def test_the_services_role_can_only_append(postgres: Postgres, db: Any, database: Database) -> None:
    await add_entries(db, 3)
    await seal(postgres)
    service = await asyncpg.connect(database.service)
    try:
        for statement in (
            "DELETE FROM audit_tile", "TRUNCATE audit_tile", "DELETE FROM audit_checkpoint",
            "UPDATE audit_checkpoint SET size = 1", "UPDATE audit_tile SET level = 1",
            "UPDATE audit_tile SET hashes = substring(hashes FROM 33), entry_ids = entry_ids[2:]",
            "UPDATE audit_tile SET entry_ids = ARRAY[9, 10, 11]",
            "INSERT INTO audit_checkpoint (number, size, note) OVERRIDING SYSTEM VALUE VALUES (9, 1, 'x')",
        ):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)
    finally:
        await service.close()
    for statement in (
        "DELETE FROM audit_tile",
        "TRUNCATE audit_checkpoint",
        "UPDATE audit_tile SET tile = 1",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(statement)


async def test_a_checkpoint_from_elsewhere_reveals_a_truncated_log(postgres: Postgres, db: Any) -> None:
    for count in (3, 2):
        await add_entries(db, count)
        await seal(postgres)
    known = open_checkpoint(await newest(db), [PUBLIC_KEY])
    other = Checkpoint(known.origin, 3, b"\x01" * 32)
    async with open_pool(postgres, "test") as pool:
        async with snapshot(pool) as connection:
            assert (await SealedLogCheck(connection, [PUBLIC_KEY], [known]).run()).differences == []
        async with snapshot(pool) as connection:
            assert (await SealedLogCheck(connection, [PUBLIC_KEY], [other]).run()).count == 1
        await restore_to(db, 3)
        async with snapshot(pool) as connection:
            assert (await SealedLogCheck(connection, [PUBLIC_KEY], [known]).run()).count == 1
