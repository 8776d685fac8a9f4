"""Erasures, a restored dump and a replaced key raise no alarm; an older dump is reported as a fork."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.cli.audit.files import export_log
from deploy.embedded.servers.postgres_cluster import binaries
from runtime.database.erasure import erase_lead
from runtime.database.postgres import Pool, open_pool, snapshot, transaction
from runtime.database.sealed_log_check import SealedLogCheck
from runtime.settings import Postgres
from runtime.transparency_log.checkpoint import open_checkpoint
from runtime.transparency_log.signed_note import SigningKey
from tests.support.sealed_log import KEY, PUBLIC_KEY, document_verifier, seal, write_lines
from tests.support.stack import Database, Stack

NEW = SigningKey.generate(KEY.name)
KEYS = [PUBLIC_KEY, NEW.verification_key()]
ERASURES = 1000


async def dump(database: Database, file: Path) -> None:
    program = str(binaries() / "bin" / "pg_dump")
    command = [program, "--format=custom", "--no-owner", f"--file={file}", database.owner]
    await asyncio.to_thread(lambda: subprocess.run(command, check=True, timeout=120))


async def restore(stack: Stack, database: Database, file: Path) -> None:
    """Destroy the database, and restore the dump into an empty one. The roles exist."""
    await stack.drop_database(database)
    owner = urlsplit(database.owner)
    connection = await asyncpg.connect(stack.admin_url)
    await connection.execute(f'CREATE DATABASE "{owner.path[1:]}" OWNER "{owner.username}"')
    await connection.close()
    # The programs may be newer than the server, and print a setting that it does not know.
    folder = binaries() / "bin"
    commands = (
        f"'{folder}/pg_restore' --no-owner --file=- '{file}' | sed /transaction_timeout/d |"
        f" psql --no-psqlrc --quiet --single-transaction --set=ON_ERROR_STOP=1 '{database.owner}' > /dev/null"
    )
    await asyncio.to_thread(
        subprocess.run, ["bash", "-euo", "pipefail", "-c", commands], check=True, timeout=120
    )


async def erase(pool: Pool, count: int) -> None:
    """Store leads and erase them: each erasure is an entry."""
    async with transaction(pool) as connection:
        rows = await connection.fetch(
            "INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message,"
            " body_sha256, created_at_utc)"
            " SELECT gen_random_uuid(), 'r', 'site', 'a@example.com', 's', 'received', 'Ada', 'hello',"
            " repeat('0', 64), now() FROM generate_series(1, $1::int) RETURNING id",
            count,
        )
        for row in rows:
            assert await erase_lead(connection, row["id"], "admin")


async def differences(postgres: Postgres, folder: Path, earlier: list[str]) -> list[str]:
    """Return what our check and the document's program say about the database and its export."""
    async with open_pool(postgres, "test") as pool, snapshot(pool) as connection:
        known = [open_checkpoint(note, KEYS) for note in earlier]
        findings = await SealedLogCheck(connection, KEYS, known).run()
        lines = [line async for line in export_log(connection)]
    path = await asyncio.to_thread(write_lines, folder / "log.jsonl", lines)
    for note in earlier:
        document_verifier()(path, ",".join(map(str, KEYS)), note)
    return findings.differences


async def test_erasures_a_restore_and_a_key_rotation_raise_no_alarm(
    stack: Stack, database: Database, postgres: Postgres, tmp_path: Path
) -> None:
    file, notes = tmp_path / "checkpoint", list[str]()

    async def seal_with(*keys: SigningKey, former: Any = ()) -> None:
        report = await seal(postgres, keys, file, former)
        assert report.reason is None
        notes.append(await asyncio.to_thread(file.read_text, "utf-8"))

    async with open_pool(postgres, "test") as pool:
        await erase(pool, 10)
        await seal_with(KEY)
        await dump(database, tmp_path / "older.dump")
        await erase(pool, ERASURES)
        await seal_with(KEY)
    assert open_checkpoint(notes[-1], KEYS).size == 10 + ERASURES
    await dump(database, tmp_path / "newest.dump")
    assert await differences(postgres, tmp_path, notes) == []

    await restore(stack, database, tmp_path / "newest.dump")
    await seal_with(KEY)
    assert await differences(postgres, tmp_path, notes) == []

    for keys, former in (((NEW, KEY), ()), ((NEW,), (PUBLIC_KEY,)), ((NEW,), (PUBLIC_KEY,))):
        await seal_with(*keys, former=former)  # the second has nothing to sign
        async with open_pool(postgres, "test") as pool:
            await erase(pool, 5)
    await seal_with(NEW, former=(PUBLIC_KEY,))
    assert await differences(postgres, tmp_path, notes) == []
    assert open_checkpoint(notes[-1], [NEW.verification_key()]).size == 25 + ERASURES

    await restore(stack, database, tmp_path / "older.dump")
    report = await seal(postgres, (NEW,), file, (PUBLIC_KEY,))
    assert report.reason == (
        f"fork: {25 + ERASURES} entries were signed, and the database has 10. It was restored"
    )
    # It goes on until it is as long as the log was: other entries were signed.
    async with open_pool(postgres, "test") as pool:
        await erase(pool, ERASURES + 20)
    report = await seal(postgres, (NEW,), None, (PUBLIC_KEY,))  # one that remembers nothing
    assert report.reason is None
    report = await seal(postgres, (NEW,), file, (PUBLIC_KEY,))
    assert report.reason == f"fork: the first {25 + ERASURES} entries are not those that were signed"
    assert await differences(postgres, tmp_path, notes[:1]) == []
    with pytest.raises(ValueError, match="does not begin with the earlier"):
        await differences(postgres, tmp_path, notes[1:2])  # every witness sees it
