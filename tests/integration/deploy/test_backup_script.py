"""The script that backs up the database every day, and restores each backup at once."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.cli.migrate import migrate
from deploy.embedded.servers.postgres_cluster import binaries, server_account
from deploy.embedded.servers.standalone import Postgres, running_postgres
from tests.support.services.processes import ROOT
from tests.support.wait import eventually

SCRIPT = ROOT / "deploy/kubernetes/fastcore/backup.sh"
DAY = 86_400
THREE_LEADS = """
INSERT INTO lead_inbox (id, request_id, site, email, service, name, message, body_sha256, status,
                        created_at_utc)
SELECT gen_random_uuid(), 'r', 's', 'ada@example.com', 'Web', 'Ada', 'A message', repeat('0', 64), 'received',
       now()
FROM generate_series(1, 3)
"""
MISCOUNT = "INSERT INTO row_count (table_name, state, rows) VALUES ('lead_inbox', 'received', {rows})"


@dataclass
class Backups:
    """Runs the script, not as root, because PostgreSQL's programs refuse that."""

    folder: Path
    owner_url: str

    async def start(self, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
        account = server_account()
        return await asyncio.create_subprocess_exec(
            "sh",
            str(SCRIPT),
            *arguments,
            env={
                "PATH": f"{self.folder.parent}/programs:{binaries()}/bin:{os.environ['PATH']}",
                "FASTCORE_MIGRATION_DATABASE_URL": self.owner_url,
                "FASTCORE_BACKUP_FOLDER": str(self.folder),
                **settings,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
        )

    async def run(self, status: int = 0, **settings: str) -> str:
        process = await self.start(**settings)
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == status, output.decode()
        return output.decode()

    def files(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir() if each.name != ".lock")

    async def execute(self, command: str) -> None:
        connection = await asyncpg.connect(self.owner_url)
        await connection.execute(command)
        await connection.close()

    async def job(self) -> Any:
        connection = await asyncpg.connect(self.owner_url)
        try:
            return await connection.fetchrow("SELECT * FROM scheduled_job WHERE name = 'backup'")
        finally:
            await connection.close()

    def replace(self, program: str, script: str) -> None:
        """Let the script find another program under this name."""
        path = self.folder.parent / "programs" / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of the same version as the programs."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        asyncio.run(migrate(server.urls.owner, server.urls.service))
        yield server


@pytest.fixture
def backups(server: Postgres) -> Iterator[Backups]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in (root, root / "backups", root / "programs"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
            if account := server_account():
                shutil.chown(folder, account.pw_uid, account.pw_gid)
        yield Backups(root / "backups", server.urls.owner)


async def test_a_backup_was_restored_before_it_counts(backups: Backups) -> None:
    await backups.execute(THREE_LEADS)
    output = await backups.run()
    (name,) = backups.files()
    assert f"Backed up and restored: {backups.folder / name}" in output
    job = await backups.job()
    assert job["last_outcome"] == "succeeded"
    assert json.loads(job["last_details"]).items() >= {"leads": 3, "file": name}.items()
    assert (job["next_run_at"] - job["last_started_at"]).total_seconds() == pytest.approx(26 * 3600, abs=60)


async def test_a_dump_that_cannot_be_restored_is_no_backup(backups: Backups) -> None:
    backups.replace("pg_dump", f'{binaries()}/bin/pg_dump "$@" && truncate -s 20000 {backups.folder}/.*.part')
    assert "No backup: the dump cannot be restored" in await backups.run(status=1)
    assert backups.files() == []
    assert (await backups.job())["last_outcome"] == "failed"


async def test_a_restore_that_lacks_leads_is_no_backup(backups: Backups) -> None:
    await backups.execute(MISCOUNT.format(rows=1))
    assert "the restored leads differ from their counter" in await backups.run(status=1)
    assert backups.files() == []
    await backups.execute(MISCOUNT.format(rows=-1))


async def test_old_backups_and_the_rest_of_a_killed_run_are_deleted(backups: Backups) -> None:
    ages = {"fastcore-old.dump": 14.5, "fastcore-new.dump": 13.5, ".fastcore-killed.dump.part": 1}
    for name, days in ages.items():
        path = backups.folder / name
        path.write_bytes(b"")
        at = path.stat().st_mtime - days * DAY
        os.utime(path, (at, at))
        if account := server_account():
            shutil.chown(path, account.pw_uid)
    (backups.folder / ".restored").mkdir()
    await backups.run()
    *made, newest = backups.files()
    assert newest == "fastcore-new.dump"
    assert len(made) == 1
    assert made[0].startswith("fastcore-20")


async def test_daily_makes_one_backup_and_stops_at_once(backups: Backups) -> None:
    process = await backups.start("daily")
    assert process.stdout
    try:
        while b"Backed up and restored" not in await asyncio.wait_for(process.stdout.readline(), 60):
            pass
        await asyncio.sleep(1)
        assert len(backups.files()) == 1
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0


async def test_two_backups_at_once_do_not_delete_each_other_s_files(backups: Backups) -> None:
    begun, go_on = backups.folder / "begun", backups.folder.parent / "programs/go-on"
    wait = f"touch {begun}; until [ -e {go_on} ]; do sleep 0.1; done"
    backups.replace("pg_dump", f'{wait}; exec {binaries()}/bin/pg_dump "$@"')
    first = await backups.start()
    await eventually(lambda: asyncio.to_thread(begun.exists), until=bool, seconds=30)
    begun.unlink()
    assert "another one is made" in await backups.run(status=1)
    go_on.touch()
    output, _ = await asyncio.wait_for(first.communicate(), 120)
    assert first.returncode == 0, output.decode()
    assert (await backups.job())["last_outcome"] == "succeeded"
    assert len(backups.files()) == 1


async def test_a_killed_backup_does_not_keep_the_lock(backups: Backups) -> None:
    begun = backups.folder / "begun"
    backups.replace("pg_restore", f"touch {begun}; exec sleep 60")
    killed = await backups.start()
    await eventually(lambda: asyncio.to_thread(begun.exists), until=bool, seconds=60)
    begun.unlink()
    killed.kill()
    await killed.wait()
    server = int((backups.folder / ".restored/postmaster.pid").read_text().splitlines()[0])
    (backups.folder.parent / "programs/pg_restore").unlink()
    try:
        await backups.run()
    finally:
        os.kill(server, signal.SIGQUIT)


async def test_a_server_that_hangs_during_the_dump_fails_the_job(backups: Backups) -> None:
    backups.replace("pg_dump", "exec sleep 600")
    await backups.run(status=1, FASTCORE_BACKUP_DUMP_SECONDS="1")
    assert json.loads((await backups.job())["last_details"])["reason"] == "pg_dump failed: see the log"


async def test_a_disk_without_room_is_not_filled(backups: Backups) -> None:
    backups.replace("df", "printf 'Filesystem 1024-blocks Used Available\n/dev/sda1 9 9 2048\n'")
    backups.replace("pg_dump", "exit 99")
    assert "the folder has 2 MB, and a backup may need" in await backups.run(status=1)
    assert backups.files() == []
    assert (await backups.job())["last_outcome"] == "failed"


async def test_a_folder_that_cannot_be_written_fails_the_job(backups: Backups) -> None:
    await backups.run(status=1, FASTCORE_BACKUP_FOLDER="/proc")
    assert json.loads((await backups.job())["last_details"])["reason"] == "the folder cannot be written"


async def test_backups_are_closed_to_other_users(backups: Backups) -> None:
    await backups.run()
    (name,) = backups.files()
    assert (backups.folder / name).stat().st_mode & 0o077 == 0


async def test_days_that_are_no_number_delete_nothing(backups: Backups) -> None:
    (backups.folder / "fastcore-old.dump").write_bytes(b"")
    backups.replace("pg_dump", f'touch {backups.folder}/called; exec {binaries()}/bin/pg_dump "$@"')
    await backups.run(status=2, FASTCORE_BACKUP_KEEP_DAYS="14 days")
    assert backups.files() == ["fastcore-old.dump"]


async def test_daily_waits_for_the_schema(backups: Backups) -> None:
    await backups.execute("ALTER TABLE schema_migration RENAME TO not_migrated")
    process = await backups.start("daily")
    try:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert b'"schema_migration" does not exist' in line
        assert backups.files() == []
    finally:
        await backups.execute("ALTER TABLE not_migrated RENAME TO schema_migration")
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 10)


async def test_extensions_of_a_provider_are_not_in_a_backup(backups: Backups, server: Postgres) -> None:
    database = urlsplit(backups.owner_url).path[1:]
    superuser = await asyncpg.connect(server.urls.superuser, database=database)
    await superuser.execute("CREATE EXTENSION vector")
    try:
        await backups.run()
    finally:
        await superuser.execute("DROP EXTENSION vector")
        await superuser.close()
    (name,) = backups.files()
    listed = await asyncio.create_subprocess_exec(
        binaries() / "bin/pg_restore", "--list", backups.folder / name, stdout=asyncio.subprocess.PIPE
    )
    contents, _ = await listed.communicate()
    assert b"lead_inbox" in contents
    assert b"EXTENSION" not in contents
