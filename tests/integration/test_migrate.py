"""Migrations on a real PostgreSQL: applied once, and the audit log is closed to everyone."""

import asyncpg
import pytest

from deploy.migrate import migrate
from tests.support.stack import Database


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
