"""Migrations on a real PostgreSQL: applied once, and the audit log is closed to everyone."""

import asyncio
import contextlib
from pathlib import Path

import asyncpg
import pytest

from deploy import migrate as runner
from deploy.migrate import migrate
from tests.support.stack import Database
from tests.support.wait import eventually


async def test_a_second_migration_applies_nothing(database: Database) -> None:
    assert await migrate(database.owner, database.service) == []


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


async def test_regression_a_migration_and_a_service_at_work_do_not_wait_for_each_other(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What migration 0004 does, and a notifier that has read the status of a lead and writes its mails then.
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
        asked = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'lead_inbox'::regclass)"
        return bool(await watcher.fetchval(asked))

    await eventually(waits, what="the migration")
    # Refused or let through, but not for ever; the service does as with any outage.
    with contextlib.suppress(asyncpg.DeadlockDetectedError):
        await service.execute(
            "INSERT INTO email_delivery (lead_id, kind, state, message_id)"
            " VALUES (gen_random_uuid(), 'welcome', 'waiting', 'm')"
        )
    await begun.rollback()
    assert await migrating == ["9999_count_mails.sql"]
    await service.close()
    await watcher.close()
