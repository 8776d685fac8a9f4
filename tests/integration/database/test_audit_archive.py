"""A partition of the audit log is archived: nothing of it is lost, and the log goes on."""

import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from contracts.audit import AuditEvent
from deploy.cli.audit import __main__ as commands
from deploy.cli.audit import archive as archive_module
from deploy.cli.audit.archive import SQL, archive, find_candidate
from deploy.cli.ledger import SQL as LEDGER
from runtime.database.audit_log import append_action, append_entries
from tests.integration.database.test_audit_partitions import entry
from tests.support.stack import Database

FULL = "SELECT setval('audit_log_id_seq', 10000000, false)"


def nothing(_: str) -> None:
    """Say nothing."""


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.owner)
    yield connection
    await connection.close()


@pytest.fixture
async def service(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.service)
    yield connection
    await connection.close()


async def test_the_partition_of_new_entries_is_no_candidate(owner: Any, service: Any) -> None:
    await append_entries(service, [entry()])
    assert await find_candidate(owner) is None
    await owner.execute(FULL)
    candidate = await find_candidate(owner)
    assert candidate
    assert candidate.name == "audit_log_from_0"


async def test_an_archived_partition_is_only_in_its_file(owner: Any, service: Any, tmp_path: Path) -> None:
    lead_id, entries = uuid4(), [entry() for _ in range(3)]
    await append_entries(service, entries)
    await append_action(service, AuditEvent.LEAD_ERASED, "ada", {"note": 'a "quoted" \\ text\nü'}, lead_id)
    rows = [dict(row) for row in await owner.fetch("SELECT * FROM audit_log ORDER BY id")]
    await owner.execute(FULL)
    newer = entry()
    await append_entries(service, [newer])
    candidate = await find_candidate(owner)
    assert candidate
    path = await archive(owner, candidate, tmp_path, nothing)

    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [line["event_id"] for line in lines] == [str(row["event_id"]) for row in rows]
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    assert lines[3]["details_json"] == json.loads(rows[3]["details_json"])
    assert lines[3]["lead_id"] == str(lead_id)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_name("audit_log_from_0.jsonl.gz.sha256").read_text() == f"{digest}  {path.name}\n"

    assert [row["event_id"] for row in await service.fetch("SELECT event_id FROM audit_log")] == [
        newer.event_id
    ]
    (kept,) = await service.fetch("SELECT * FROM audit_archive")
    assert (kept["name"], kept["entries"], kept["first_id"], kept["last_id"]) == (
        "audit_log_from_0", 4, rows[0]["id"], rows[3]["id"],
    )  # fmt: skip
    assert kept["sha256"] == hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    assert await find_candidate(owner) is None
    assert await owner.fetchval("SELECT to_regclass('audit_log_from_0')") is None


async def test_an_archived_event_is_still_known(owner: Any, service: Any, tmp_path: Path) -> None:
    old = entry()
    await append_entries(service, [old])
    await owner.execute(FULL)
    candidate = await find_candidate(owner)
    assert candidate
    await archive(owner, candidate, tmp_path, nothing)
    # A record that Kafka delivers again writes nothing, and the comparison with Kafka misses nothing.
    assert await append_entries(service, [old]) == set()
    assert [row["event_id"] async for row in LEDGER.known_events(service, ids=[old.event_id])] == [
        old.event_id
    ]


async def test_a_detached_partition_still_refuses_changes_and_is_archived_next(
    owner: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_entries(service, [entry()])
    await owner.execute(FULL)
    candidate = await find_candidate(owner)
    assert candidate

    async def fail(*_: Any) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(archive_module, "_read_table", fail)
        with pytest.raises(OSError):  # noqa: PT011
            await archive(owner, candidate, tmp_path, nothing)
    for statement in ("DELETE FROM audit_log_from_0", "TRUNCATE audit_log_from_0"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.execute(statement)
    again = await find_candidate(owner)
    assert again
    assert again.is_detached
    await archive(owner, again, tmp_path, nothing)
    assert await service.fetchval("SELECT entries FROM audit_archive") == 1


@pytest.mark.parametrize("what", ["file", "checksum"])
async def test_a_file_that_differs_stops_the_archive(
    owner: Any, service: Any, tmp_path: Path, what: str
) -> None:
    await append_entries(service, [entry()])
    await owner.execute(FULL)
    path = tmp_path / "audit_log_from_0.jsonl.gz"
    data = gzip.compress(b'{"id": 1}\n')
    path.write_bytes(data)
    digest = hashlib.sha256(data if what == "file" else b"").hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
    candidate = await find_candidate(owner)
    assert candidate
    with pytest.raises(RuntimeError, match="differ" if what == "file" else "does not match"):
        await archive(owner, candidate, tmp_path, nothing)
    assert await owner.fetchval("SELECT count(*) FROM audit_log_from_0") == 1
    assert await service.fetchval("SELECT count(*) FROM audit_archive") == 0


async def test_pending_detaches_are_found(owner: Any) -> None:
    await owner.execute("ALTER TABLE audit_log DETACH PARTITION audit_log_from_20000000")
    assert [row["name"] async for row in SQL.list_detached(owner)] == ["audit_log_from_20000000"]


def test_the_command_changes_nothing_without_apply(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.service)
    monkeypatch.setenv("FASTCORE_MIGRATION_DATABASE_URL", database.owner)

    def run(*arguments: str, answer: str | None = None) -> str:
        done = CliRunner().invoke(commands.app, ["archive", "--to", str(tmp_path), *arguments], input=answer)
        assert done.exit_code == 0, done.output
        return done.output

    assert "nothing to archive" in run("--apply", "--yes")
    assert "was in partitions already" in CliRunner().invoke(commands.app, ["partition"]).output
    monkeypatch.setattr(archive_module, "SQL", SQL)
    commands._run(lambda connection: connection.execute(FULL))
    assert "would archive audit_log_from_0" in run()
    assert "nothing was changed" in run("--apply", answer="n\n")
    assert list(tmp_path.iterdir()) == []
    assert "archived audit_log_from_0" in run("--apply", "--yes")
    assert "nothing to archive" in run("--apply", "--yes")
