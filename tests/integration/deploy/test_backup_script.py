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

import asyncpg
import pytest

from deploy.cli.migrate import migrate
from deploy.embedded.servers.postgres_cluster import binaries, server_account
from deploy.embedded.servers.standalone import Postgres, running_postgres
from tests.support.services.processes import ROOT

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

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        account = server_account()
        return await asyncio.create_subprocess_exec(
            "sh",
            str(SCRIPT),
            *arguments,
            env={
                "PATH": f"{self.folder.parent}/programs:{binaries()}/bin:{os.environ['PATH']}",
                "FASTCORE_MIGRATION_DATABASE_URL": self.owner_url,
                "FASTCORE_BACKUP_FOLDER": str(self.folder),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
        )

    async def run(self, status: int = 0) -> str:
        process = await self.start()
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == status, output.decode()
        return output.decode()

    def files(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir())

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
