"""The doctor's checks of the services' role report each weakness of an installation."""

from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.cli.doctor.rights import SQL, check_rights
from deploy.cli.migrate import migrate
from tests.support.stack import Database, Stack


async def findings(database: Database) -> dict[str, tuple[str, str]]:
    """Run the checks as the services' role. Return the level and the text of each."""
    connection: Any = await asyncpg.connect(database.service)
    try:
        server = await SQL.server(connection)
        return {found.check: (found.level, found.seen) async for found in check_rights(connection, server)}
    finally:
        await connection.close()


async def test_a_migrated_database_has_no_finding(database: Database) -> None:
    found = await findings(database)
    assert {level for level, _ in found.values()} == {"ok"}, found
    assert set(found) == {
        "database-role",
        "grants",
        "functions",
        "audit-log",
        "audit-partitions",
        "count-triggers",
    }


@pytest.mark.parametrize(
    ("statement", "check", "text"),
    [
        ("GRANT UPDATE ON audit_log TO {role}", "audit-log", "may change"),
        ("GRANT UPDATE (actor) ON audit_log TO {role}", "audit-log", "may change"),
        ("GRANT INSERT ON audit_log TO PUBLIC", "audit-log", "may change"),
        ("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only", "audit-log", "disabled"),
        ("ALTER TABLE audit_log ENABLE TRIGGER audit_log_is_append_only", "audit-log", "disabled"),
        ("DROP TRIGGER audit_log_is_append_only ON audit_log", "audit-log", "missing"),
        (
            "DROP TRIGGER audit_log_is_append_only ON audit_log_from_10000000",
            "audit-log",
            "audit_log_from_10000000",
        ),
        ("ALTER TABLE audit_log DISABLE TRIGGER audit_log_event_id", "audit-log", "event ids unique"),
        (
            (
                "DROP TRIGGER audit_log_is_append_only ON audit_log;"
                " CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE ON audit_log"
                " EXECUTE FUNCTION refuse_audit_change();"
                " ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_is_append_only"
            ),
            "audit-log",
            "changed",
        ),
        (
            "ALTER TABLE replay_queue DISABLE TRIGGER replay_queue_changed",
            "count-triggers",
            "replay_queue_changed",
        ),
        ("DROP TRIGGER lead_inbox_went ON lead_inbox", "count-triggers", "lead_inbox_went"),
        ("GRANT CREATE ON SCHEMA public TO {role}", "database-role", "create"),
        ("GRANT TEMPORARY ON DATABASE {database} TO PUBLIC", "database-role", "create"),
        ("GRANT CREATE ON DATABASE {database} TO {role}", "database-role", "create"),
        ("GRANT DELETE ON lead_inbox TO {role}", "grants", "DELETE on lead_inbox"),
        ("GRANT INSERT ON row_count TO PUBLIC", "grants", "INSERT on row_count"),
        ("GRANT USAGE ON SEQUENCE row_count_turn TO {role}", "grants", "USAGE on row_count_turn"),
        ("REVOKE UPDATE ON stage_control FROM {role}", "grants", "lacks UPDATE on stage_control"),
        (
            "GRANT EXECUTE ON FUNCTION count_rows() TO PUBLIC",
            "functions",
            "count_rows() may be executed by everybody",
        ),
        ("GRANT EXECUTE ON FUNCTION count_rows() TO {role}", "functions", "count_rows() runs as its owner"),
        ("ALTER FUNCTION count_rows() RESET search_path", "functions", "count_rows() has no search_path"),
        ("ALTER FUNCTION count_rows() SET search_path = pg_temp, public", "functions", "has no search_path"),
        (
            "CREATE FUNCTION mine() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "functions",
            "mine() has no search_path",
        ),
    ],
)
async def test_each_weakness_is_a_fail_until_migrate_or_the_owner_mends_it(
    database: Database, db: Any, statement: str, check: str, text: str
) -> None:
    names = {"role": urlsplit(database.service).username, "database": urlsplit(database.owner).path[1:]}
    await db.execute(statement.format(**{name: f'"{value}"' for name, value in names.items()}))
    level, seen = (await findings(database))[check]
    assert (level, text in seen) == ("fail", True), seen
    if statement.startswith(("GRANT", "REVOKE")):
        await migrate(database.owner, database.service)
        assert {level for level, _ in (await findings(database)).values()} == {"ok"}


async def test_the_owner_and_a_member_of_its_role_are_no_role_for_services(
    database: Database, stack: Stack
) -> None:
    level, seen = (await findings(Database(database.owner, database.owner)))["database-role"]
    assert (level, "owns" in seen) == ("fail", True)
    owner, role = urlsplit(database.owner).username, urlsplit(database.service).username
    connection = await asyncpg.connect(stack.admin_url)
    try:
        await connection.execute(f'GRANT "{owner}" TO "{role}"')
        level, seen = (await findings(database))["database-role"]
        assert (level, f"is a member of {owner}" in seen) == ("fail", True)
    finally:
        await connection.execute(f'REVOKE "{owner}" FROM "{role}"')
        await connection.close()


async def test_the_doctor_reports_that_partitions_run_out(database: Database) -> None:
    owner = await asyncpg.connect(database.owner)
    try:
        for first_id, level in ((20_000_000, "warn"), (10_000_000, "fail")):
            await owner.execute(f"ALTER TABLE audit_log DETACH PARTITION audit_log_from_{first_id}")
            found, seen = (await findings(database))["audit-partitions"]
            assert (found, "ahead" in seen) == (level, True)
    finally:
        await owner.close()
