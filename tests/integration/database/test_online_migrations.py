"""Migrations beside writers: no lock lasts, an interrupted one is continued, and a long one is reported."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.cli import migrate as runner
from deploy.cli import statement_watch
from deploy.cli.migrate import migrate
from tests.support.database.standby import hanging, running_pair
from tests.support.stack import Database
from tests.support.wait import eventually

ALL = runner.MIGRATIONS


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, whose files are the migrations of this test."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    monkeypatch.setattr(runner, "MIGRATIONS", folder)
    return folder


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Any]:
    """A connection beside the migration, to a table with 2,500 rows."""
    connection = await asyncpg.connect(database.owner)
    await connection.execute(
        "CREATE TABLE written (id int PRIMARY KEY, done boolean);"
        "INSERT INTO written SELECT generate_series(1, 2500)"
    )
    yield connection
    await connection.close()


async def test_an_index_is_built_while_a_transaction_writes(
    database: Database, writer: Any, migrations: Path
) -> None:
    (migrations / "9001_index.online.sql").write_text(
        "-- The list.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS written_done ON written (done);\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS written_id ON written (id, done);\n"
    )
    begun = writer.transaction()
    await begun.start()
    await writer.execute("INSERT INTO written VALUES (0)")
    migrating = asyncio.create_task(migrate(database.owner, database.service))
    other = await asyncpg.connect(database.owner)
    building = "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index)"

    async def is_building() -> bool:
        return bool(await other.fetchval(building))

    await eventually(is_building, what="the index that waits for the transaction")
    await other.execute("INSERT INTO written VALUES (-1)", timeout=5)
    await begun.commit()
    assert await migrating == ["9001_index.online.sql"]
    valid = "SELECT count(*) FROM pg_index WHERE indrelid = 'written'::regclass AND indisvalid"
    assert await writer.fetchval(valid) == 3
    await other.close()


async def test_what_an_interrupted_index_left_is_built_again(
    database: Database, writer: Any, migrations: Path
) -> None:
    await writer.execute("INSERT INTO written VALUES (2501, false); UPDATE written SET done = false")
    with pytest.raises(asyncpg.UniqueViolationError):
        await writer.execute("CREATE UNIQUE INDEX CONCURRENTLY written_done ON written (done)")
    (migrations / "9001_index.online.sql").write_text(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS written_done ON written (done)"
    )
    await migrate(database.owner, database.service)
    find = "SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid = 'written_done'::regclass"
    assert tuple(await writer.fetchrow(find)) == (True, False)


async def test_rows_are_filled_in_batches_and_an_interruption_keeps_them(
    database: Database, writer: Any, migrations: Path
) -> None:
    (migrations / "9001_fill.online.sql").write_text(
        "-- repeat\nUPDATE written SET done = true WHERE id IN"
        " (SELECT id FROM written WHERE done IS NULL ORDER BY id LIMIT 1000);\n"
        "SELECT 1 / count(*) FROM written WHERE id < 0;\n"
    )
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database.owner, database.service)
    assert await writer.fetchval("SELECT count(DISTINCT xmin::text) FROM written WHERE done") == 3
    before = await writer.fetchval("SELECT max(xmin::text::bigint) FROM written")
    await writer.execute("INSERT INTO written VALUES (-1)")
    assert await migrate(database.owner, database.service) == ["9001_fill.online.sql"]
    assert await writer.fetchval("SELECT count(*) FROM written WHERE done") == 2501
    assert await writer.fetchval("SELECT count(*) FROM written WHERE xmin::text::bigint > $1", before) == 1


async def test_a_writer_never_waits_long_for_a_migration_that_waits(
    database: Database, writer: Any, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BUSY_SECONDS", 3)
    (migrations / "9001_add.sql").write_text("ALTER TABLE written ADD COLUMN more int")
    begun = writer.transaction()
    await begun.start()
    await writer.fetch("SELECT FROM written")
    other = await asyncpg.connect(database.owner)
    migrating = asyncio.create_task(migrate(database.owner, database.service))
    longest = 0.0
    while not migrating.done():
        began = time.monotonic()
        await other.execute("UPDATE written SET done = true WHERE id = 1")
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match=r"9001_add.sql was not applied.*ALTER TABLE written ADD"):
        await migrating
    await begun.rollback()
    await other.close()
    assert 0.1 < longest < 2
    assert await migrate(database.owner, database.service) == ["9001_add.sql"]


async def test_an_error_names_the_statement(database: Database, writer: Any, migrations: Path) -> None:
    (migrations / "9001_add.sql").write_text(
        "ALTER TABLE written ADD COLUMN more int;\n-- Why.\nALTER TABLE writen ADD COLUMN more int;\n"
    )
    with pytest.raises(asyncpg.UndefinedTableError) as caught:
        await migrate(database.owner, database.service)
    assert caught.value.__notes__ == ["ALTER TABLE writen ADD COLUMN more int;"]
    assert await writer.fetchval("SELECT count(*) FROM pg_attribute WHERE attname = 'more'") == 0


async def test_a_long_statement_is_reported_and_a_silent_server_ends_the_wait(
    tmp_path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(statement_watch, "REPORT_SECONDS", 0.3)
    monkeypatch.setattr(runner, "CONNECT_SECONDS", 1.0)
    shutil.copytree(ALL, migrations, dirs_exist_ok=True)
    (migrations / "9001_sleep.sql").write_text("SELECT pg_sleep(1.5)")
    with running_pair(tmp_path / "pair") as pair:
        urls = pair.primary.urls
        await migrate(urls.owner, urls.service)
        assert "still running after" in capsys.readouterr().err
        (migrations / "9002_sleep.sql").write_text("SELECT pg_sleep(600)")
        migrating = asyncio.create_task(migrate(urls.owner, urls.service))

        async def is_reported() -> bool:
            return "still running" in capsys.readouterr().err

        await eventually(is_reported, what="the report of the statement")
        with (
            hanging(pair.primary),
            pytest.raises(statement_watch.SilentServerError, match=r"pg_sleep\(600\)"),
        ):
            await asyncio.wait_for(migrating, 60)
