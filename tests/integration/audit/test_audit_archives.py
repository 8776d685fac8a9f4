"""The sealed log in partitions: what is archived is still proved, and nothing hides behind an archive."""

import asyncio
import gzip
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from deploy.cli import migrate as runner
from deploy.cli.audit.__main__ import app
from deploy.cli.audit.archive import _read_table, archive, find_candidate
from deploy.cli.audit.archive_file import read_archives
from deploy.cli.audit.partitioning import partition_log
from runtime.database.archived_leaves import read_id
from runtime.database.postgres import open_pool
from runtime.database.sealed_log import LOWEST_ID, NO_LIMIT, list_leaf_hashes
from runtime.settings import Postgres
from runtime.transparency_log.merkle_tree import hash_leaf
from services.flusher.jobs.audit_check import audit_check_job
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.retries.retry_scheduler import utc_now
from tests.support.sealed_log import PUBLIC_KEY, add_entries, document_verifier, new_sealer, seal
from tests.support.stack import Database, Stack

FULL = "SELECT setval('audit_log_id_seq', 10000000, false)"
LEAD = uuid4()
FORGED = (
    "INSERT INTO audit_archive (name, first_id, last_id, entries, first_at, last_at, sha256)"
    " VALUES ($1, $2, $3, $4, now(), now(), 'x')"
)


@pytest.fixture(autouse=True)
def _database_url(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database.service)


async def connect(database: Database) -> Any:
    """Return a connection of the owner; jsonb comes as data."""
    connection = await asyncpg.connect(database.owner)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    return connection


async def run(*arguments: object) -> Result:
    """Run a command in a thread, because it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, [str(each) for each in arguments])


async def verify(*arguments: object) -> Result:
    return await run("verify", *arguments, "--key", PUBLIC_KEY)


def say(_: str) -> None:
    """Say nothing."""


async def archive_oldest(db: Any, folder: Path) -> Path:
    candidate = await find_candidate(db)
    assert candidate
    return await archive(db, candidate, folder, say)


async def fill(postgres: Postgres, db: Any) -> None:
    """Seal 300 entries of the first partition and 302 of the next: the second tile has some of both."""
    await add_entries(db, 298)
    await add_entries(db, 2, LEAD)
    await seal(postgres)
    await db.execute(FULL)
    await add_entries(db, 2, LEAD)
    await add_entries(db, 300)
    await seal(postgres)


async def unprotect(db: Any) -> None:
    for row in await db.fetch("SELECT relid::regclass::text AS name FROM pg_partition_tree('audit_log')"):
        await db.execute(f"ALTER TABLE {row['name']} DISABLE TRIGGER USER")


async def test_an_archived_partition_is_still_proved(postgres: Postgres, db: Any, tmp_path: Path) -> None:
    await fill(postgres, db)
    leaves = [leaf async for leaf in list_leaf_hashes(db, LOWEST_ID, NO_LIMIT)]
    path = await archive_oldest(db, tmp_path)
    lines = list(read_archives([path]))
    assert [hash_leaf(line) for line in lines] == [leaf_hash for _, leaf_hash in leaves[:300]]

    counted = await verify()
    assert (counted.exit_code, "602 entries" in counted.output) == (0, True), counted.output
    assert "300 entries are archived and were not compared" in counted.output
    sha256 = await db.fetchval("SELECT sha256 FROM audit_archive")
    assert f"archived: audit_log_from_0, 300 entries, SHA-256 {sha256}" in counted.output
    compared = await verify("--archive", path)
    assert (compared.exit_code, "not compared" in compared.output) == (0, False), compared.output

    log, lead = tmp_path / "log.jsonl", tmp_path / "lead.jsonl"
    missing = await run("export", "--out", log)
    assert (missing.exit_code, "audit_log_from_0" in missing.output) == (1, True)
    assert (await run("export", "--out", log, "--archive", path)).exit_code == 0
    assert "602 entries are in the log of 602" in document_verifier()(log, str(PUBLIC_KEY))
    assert (await run("prove", LEAD, "--out", lead, "--archive", path)).exit_code == 0
    assert "4 entries are in the log of 602" in document_verifier()(lead, str(PUBLIC_KEY))

    await add_entries(db, 5)  # the log goes on
    assert (await seal(postgres)).details == {"sealed": 5, "entries": 607}
    async with open_pool(postgres, "test") as pool:
        await audit_check_job(pool, JobRuns(pool, utc_now), utc_now, [PUBLIC_KEY]).tick()
    found = await db.fetchrow(
        "SELECT last_outcome, last_details->>'archived' AS archived FROM scheduled_job"
        " WHERE name = 'audit_check'"
    )
    assert (found["last_outcome"], found["archived"]) == ("succeeded", "300")


async def test_what_an_archive_cannot_hide(postgres: Postgres, db: Any, tmp_path: Path) -> None:
    await fill(postgres, db)
    path = await archive_oldest(db, tmp_path)
    await unprotect(db)
    other = 10_000_100
    await db.execute("DELETE FROM audit_log WHERE id = $1", other)
    assert f"the entry {other} is missing" in (await verify()).output
    # A row that says that the entry was archived, alone.
    await db.execute(FORGED, "forged", other, other, 1)
    found = await verify()
    assert (found.exit_code, "and later ones were archived" in found.output) == (1, True)
    # All entries until then: the row hides them from the database alone, and from nobody who has archives.
    await db.execute("DELETE FROM audit_archive WHERE name = 'forged'")
    await db.execute("DELETE FROM audit_log WHERE id <= $1", other)
    await db.execute(FORGED, "forged", 10_000_000, other, 100)
    assert (await verify()).exit_code == 1
    await db.execute("UPDATE audit_archive SET entries = 101 WHERE name = 'forged'")
    hidden = await verify()
    assert (hidden.exit_code, "forged, 101 entries" in hidden.output) == (0, True), hidden.output
    found = await verify("--archive", path)
    assert (found.exit_code, "the entry 10000000 is missing in the archives" in found.output) == (1, True)
    assert (await run("export", "--archive", path)).exit_code == 1


async def test_a_changed_archive_is_found(postgres: Postgres, db: Any, tmp_path: Path) -> None:
    await fill(postgres, db)
    lines = list(read_archives([await archive_oldest(db, tmp_path)]))
    changed, ids = tmp_path / "changed.gz", [read_id(line) for line in lines]
    last = b'"id":%d,' % ids[-1]
    for each, difference in (
        (
            [lines[0].replace(b"received", b"rejected"), *lines[1:]],
            f"the entry {ids[0]} was changed in its archive",
        ),
        (lines[:7] + lines[8:], f"the entry {ids[7]} is missing in the archives"),
        ([*lines, lines[-1].replace(last, b'"id":9999,')], "1 entries that are not sealed"),
        ([*lines, b"[]"], "not an entry"),
    ):
        changed.write_bytes(gzip.compress(b"\n".join(each)))
        found = await verify("--archive", changed)
        assert (found.exit_code, difference in found.output) == (1, True), (difference, found.output)


async def test_what_was_not_sealed_is_not_archived(postgres: Postgres, db: Any, tmp_path: Path) -> None:
    await add_entries(db, 5)
    await seal(postgres)
    await add_entries(db, 1)
    await db.execute(FULL)
    with pytest.raises(RuntimeError, match="no checkpoint covers all entries of audit_log_from_0"):
        await archive_oldest(db, tmp_path)
    await seal(postgres)
    await unprotect(db)
    first: int = await db.fetchval("SELECT min(id) FROM audit_log")
    for change, reason in (
        ("UPDATE audit_log SET actor = 'somebody' WHERE id = $1 + 3", "the entry .* not what was sealed"),
        ("DELETE FROM audit_log WHERE id = $1", "the entry .* not what was sealed"),
        ("DELETE FROM audit_log WHERE id >= $1 + 4", "the sealed entry .* is missing"),
    ):
        undo = db.transaction(isolation="repeatable_read")
        await undo.start()
        await db.execute(change, first)
        with pytest.raises(RuntimeError, match=reason):
            await _read_table(db, "audit_log_from_0")
        await undo.rollback()
    await db.execute("DELETE FROM audit_log WHERE id = $1", first)
    with pytest.raises(RuntimeError, match="not what was sealed"):
        await archive_oldest(db, tmp_path)
    # It is refused before it is detached.
    assert await db.fetchval("SELECT min(name) FROM audit_partitions()") == "audit_log_from_0"
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_an_unfinished_archive_is_no_difference(postgres: Postgres, db: Any) -> None:
    await fill(postgres, db)
    await db.execute("ALTER TABLE audit_log DETACH PARTITION audit_log_from_0")
    for command in (verify(), run("export")):
        found = await command
        assert (found.exit_code, found.output.strip()) == (1, "the archive of audit_log_from_0 has not ended")


async def test_a_log_archived_before_its_seal_is_verified(
    postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    await add_entries(db, 3)
    await db.execute(FULL)
    path = await archive_oldest(db, tmp_path)
    await add_entries(db, 4)
    await seal(postgres)
    for arguments in ((), ("--archive", path)):
        found = await verify(*arguments)
        assert (found.exit_code, "4 entries" in found.output) == (0, True), found.output
    log = tmp_path / "log.jsonl"
    assert (await run("export", "--out", log, "--archive", path)).exit_code == 0
    assert (await verify(log)).exit_code == 0


async def test_the_seal_continues_over_the_partitioning(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await stack.new_database()
    owner, late = await connect(made), await connect(made)
    try:
        await owner.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

        async def leave_it(_: Any) -> bool:
            return False

        monkeypatch.setattr(runner, "partition_log", leave_it)
        monkeypatch.setenv("DATABASE_URL", made.service)
        await runner.migrate(made.owner, made.service)
        settings = Postgres.model_validate({"url": made.service})
        async with open_pool(settings, "test") as pool:
            sealer = new_sealer(pool)  # whose statements were prepared for the table of before
            await add_entries(owner, 3)
            assert (await sealer.run()).details == {"sealed": 3, "entries": 3}
            assert await partition_log(owner)
            await owner.execute(FULL)
            await add_entries(owner, 2)
            begun = late.transaction()
            await begun.start()
            await add_entries(late, 1)
            await add_entries(owner, 1)  # a later id
            sealing = asyncio.create_task(sealer.run())
            await asyncio.sleep(0.3)
            assert not sealing.done()
            await begun.commit()
            assert (await sealing).details == {"sealed": 4, "entries": 7}
            # New ids come one by one: the seal depends on it.
            assert (
                await owner.fetchval(
                    "SELECT seqcache FROM pg_sequence WHERE seqrelid = $1::regclass", "audit_log_id_seq"
                )
                == 1
            )
        assert re.match("7 entries", (await verify()).output)
    finally:
        await owner.close()
        await late.close()
        await stack.drop_database(made)
