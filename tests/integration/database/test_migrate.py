"""Migrations on a real PostgreSQL: applied once, and the audit log is closed to everyone."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from deploy.cli import migrate as runner
from deploy.cli.doctor.database import check_database
from deploy.cli.migrate import migrate
from deploy.cli.role_rights import GONE_CLIENT_SETTINGS
from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from tests.support.services.processes import ROOT
from tests.support.stack import Database, Stack
from tests.support.wait import eventually


async def test_a_second_migration_applies_nothing(database: Database) -> None:
    assert await migrate(database.owner, database.service) == []


async def test_regression_old_service_leaves_no_stale_last_record(
    database: Database,
) -> None:
    # In a rolling upgrade the record of an older offset was compared, so the log counted as replaced.
    connection = await asyncpg.connect(database.service)
    await connection.execute(
        "INSERT INTO partition_ledger (stage, topic, partition, base_offset, next_offset, last_record)"
        " VALUES ('persister', 't', 0, 0, 0, NULL)"
    )

    async def advance(more: str) -> Any:
        return await connection.fetchval(
            "UPDATE partition_ledger SET next_offset = next_offset + 1, stored = stored + 1"
            f"{more} RETURNING last_record"
        )

    assert await advance(", last_record = '1/0000000a'") == "1/0000000a"
    assert await advance(", last_record = '2/0000000b'") == "2/0000000b"
    touched = "UPDATE partition_ledger SET updated_at = now() RETURNING last_record"
    assert await connection.fetchval(touched) == "2/0000000b"
    assert await advance("") is None
    assert await advance(", last_record = '2/0000000b'") == "2/0000000b"
    await connection.close()


async def test_regression_a_session_whose_client_is_gone_ends_within_a_minute(database: Database) -> None:
    # It kept its locks for two hours: the stage waited for its own ledger, and handled nothing.
    await migrate(database.owner, database.service)
    connection = await asyncpg.connect(database.service)
    shown = {name: await connection.fetchval(f"SHOW {name}") for name in GONE_CLIENT_SETTINGS}
    await connection.close()
    assert shown == {name: str(value) for name, value in GONE_CLIENT_SETTINGS.items()}


@pytest.mark.parametrize("role", ["owner", "service"])
@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET event = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_audit_log_refuses_every_change_to_every_role(
    database: Database, role: str, statement: str
) -> None:
    connection = await asyncpg.connect(getattr(database, role))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_the_services_role_can_delete_nothing(database: Database) -> None:
    connection = await asyncpg.connect(database.service)
    for table in ("lead_inbox", "email_delivery", "replay_queue", "partition_ledger"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"DELETE FROM {table}")
    await connection.close()


async def test_regression_migration_and_running_service_do_not_deadlock(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Migration 0004, beside a notifier that has read a lead's status and then writes its deliveries.
    (tmp_path / "9999_count_mails.sql").write_text(
        "CREATE TRIGGER again AFTER INSERT ON email_delivery FOR EACH STATEMENT"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger(); ALTER TABLE lead_inbox ADD COLUMN again int"
    )
    monkeypatch.setattr(runner, "MIGRATIONS", tmp_path)
    service, watcher = await asyncpg.connect(database.service), await asyncpg.connect(database.owner)
    begun = service.transaction()
    await begun.start()
    await service.fetch("SELECT id, status FROM lead_inbox")
    migrating = asyncio.create_task(migrate(database.owner, database.service))

    async def waits() -> bool:
        query = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'lead_inbox'::regclass)"
        return bool(await watcher.fetchval(query))

    await eventually(waits, what="the migration")
    # The statement may fail or succeed, but must not wait forever. A service treats a failure as an outage.
    with contextlib.suppress(asyncpg.DeadlockDetectedError):
        await service.execute(
            "INSERT INTO email_delivery (lead_id, kind, state, message_id)"
            " VALUES (gen_random_uuid(), 'welcome', 'waiting', 'm')"
        )
    await begun.rollback()
    assert await migrating == ["9999_count_mails.sql"]
    await service.close()
    await watcher.close()


@pytest.fixture
async def latin1(stack: Stack) -> AsyncIterator[Database]:
    """Create an empty database whose encoding cannot store most names."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(stack.admin_url)
    await admin.execute(
        f"CREATE DATABASE \"{name}\" ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        f' OWNER "{urlsplit(stack.owner_url).username}"'
    )
    yield Database(
        *(urlsplit(url)._replace(path=f"/{name}").geturl() for url in (stack.owner_url, stack.service_url))
    )
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def test_a_database_of_another_encoding_is_refused_with_one_line(latin1: Database) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": latin1.service,
        "FASTCORE_MIGRATION_DATABASE_URL": latin1.owner,
    }
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "deploy.cli.migrate"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "the database has the encoding LATIN1: create it with ENCODING 'UTF8' TEMPLATE template0\n"
    )


async def test_the_doctor_refuses_a_database_of_another_encoding(latin1: Database) -> None:
    settings = Postgres.model_validate({"url": latin1.service})
    async with open_pool(settings, "doctor") as pool:
        found = {each.check: each async for each in check_database(pool, settings, 1)}
    assert found["database"].level == "fail"
    assert "encoding LATIN1" in found["database"].seen
    assert "UTF8" in (found["database"].todo or "")


async def test_regression_an_upgrade_corrects_audit_records_that_wait_as_leads(stack: Stack) -> None:
    database = await stack.new_database()
    connection = await asyncpg.connect(database.owner)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        for path in sorted(runner.MIGRATIONS.glob("000[1-7]*.sql")):
            await connection.execute(path.read_text())
        row = (
            "INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, next_attempt_at,"
            " origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group, payload,"
            " original_payload, first_failed_at, last_failed_at)"
            " VALUES (gen_random_uuid(), 'persister', 'store', gen_random_uuid(), $1, 'r', 'e', now(), $2, 0,"
            " 0, now(), 'g', $3, 'edited', now(), now())"
        )
        await connection.execute(row, "waiting", "shop.audit.recorded.v1", b"{}")
        await connection.execute(row, "waiting", "shop.leads.received.v1", b"{}")
        await connection.execute(row, "resolved", "leads.received.v1", None)
        path = next(runner.MIGRATIONS.glob("0009*.sql"))
        await connection.execute(path.read_text())
        rows = await connection.fetch(
            "SELECT kind, lead_id IS NULL AS none, by_origin, original_payload IS NULL AS emptied"
            " FROM replay_queue ORDER BY state, kind"
        )
        assert [tuple(each) for each in rows] == [
            ("store", False, False, True),
            ("audit", True, True, False),
            ("store", False, False, False),
        ]
    finally:
        await connection.close()
        await stack.drop_database(database)
