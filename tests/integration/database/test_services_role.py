"""What somebody who has the services' password can do to PostgreSQL: each statement of an attacker's list."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from deploy.cli.migrate import migrate
from tests.support.stack import Database

CASES = Path(__file__).parents[2] / "support" / "cases" / "database"
Connection = Any
# Refused for lack of a right, not for a fault in the statement.
REFUSED = asyncpg.InsufficientPrivilegeError
ENTRY = "'lead.received', 'gateway'"


ATTACKS = [
    line for line in (CASES / "attacks.sql").read_text().splitlines() if line and not line.startswith("--")
]


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    """The owner's connection, to see what the role did. Migrated again, as an upgrade does."""
    await migrate(database.owner, database.service)
    connection = await asyncpg.connect(database.owner)
    for _ in range(3):
        await connection.execute(
            f"INSERT INTO audit_log (event_id, event, actor) VALUES (gen_random_uuid(), {ENTRY})"
        )
    await connection.execute(
        "INSERT INTO lead_inbox (id, request_id, site, email, service, name, message, body_sha256,"
        " created_at_utc) VALUES (gen_random_uuid(), 'r', 's', 'a@example.com', 'x', 'Ada', 'm', 'h', now())"
    )
    yield connection
    await connection.close()


@pytest.fixture
async def role(database: Database, owner: Connection) -> AsyncIterator[Connection]:
    assert owner
    connection = await asyncpg.connect(database.service)
    yield connection
    await connection.close()


async def evidence(owner: Connection) -> list[Any]:
    """What must never change: log, counts, migrations, triggers, functions, rights and roles."""
    return [
        [tuple(row) for row in await owner.fetch(query)]
        for query in (
            "SELECT * FROM audit_log ORDER BY id",
            "SELECT table_name, stage, state, sum(rows) FROM row_count GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            "SELECT * FROM schema_migration ORDER BY name",
            "SELECT tgrelid, tgname, tgenabled, tgfoid FROM pg_trigger ORDER BY oid",
            (
                "SELECT oid, proname, prosrc, proconfig::text, proacl::text, proowner FROM pg_proc"
                " WHERE pronamespace = 'public'::regnamespace ORDER BY oid"
            ),
            (
                "SELECT oid, relname, relacl::text, relowner FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace ORDER BY oid"
            ),
            "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1",
            "SELECT r::text FROM pg_roles AS r ORDER BY rolname",
            "SELECT extname FROM pg_extension ORDER BY 1",
        )
    ]


@pytest.mark.parametrize("case", ["role_becomes_owner_by_arguments", "role_becomes_owner_by_search_path"])
async def test_regression_the_role_cannot_rewrite_the_audit_log_as_its_owner(
    owner: Connection, role: Connection, case: str
) -> None:
    before = await evidence(owner)
    text = (CASES / f"{case}.sql").read_text().replace("\\set ON_ERROR_STOP 0", "")
    for statement in _statements(text):
        try:
            await role.execute(statement)
        except asyncpg.PostgresError:  # like psql without ON_ERROR_STOP: continue with the next one
            continue
    after = await evidence(owner)
    assert after[0] == before[0], "the audit log was rewritten"
    assert after[2:] == before[2:]
    assert await owner.fetchval("SELECT count(*) FROM row_count WHERE table_name = 't'") == 0


def _statements(text: str) -> list[str]:
    """Split a script at semicolons, but not inside dollar quotes."""
    found, quoted = [""], False
    for part in text.replace("$$", "\0$$\0").split("\0"):
        if part == "$$":
            quoted = not quoted
            found[-1] += part
        elif quoted:
            found[-1] += part
        else:
            first, *others = part.split(";")
            found[-1] += first
            found += others
    return [statement for statement in found if statement.strip()]


async def test_the_services_role_is_refused_everything_on_an_attackers_list(
    owner: Connection, role: Connection
) -> None:
    before, allowed = await evidence(owner), list[str]()
    for statement in ATTACKS:
        try:
            await role.execute(statement)
        except REFUSED:
            continue
        except asyncpg.PostgresError as error:
            installs = statement.startswith(("CREATE EXTENSION", "CREATE LANGUAGE"))
            if not (installs and "is not available" in str(error)):
                allowed.append(f"{statement}: {type(error).__name__} {error}")
        else:
            allowed.append(statement)
    assert allowed == []
    assert await evidence(owner) == before


async def test_grants_that_the_role_may_not_give_change_nothing(owner: Connection, role: Connection) -> None:
    before = await evidence(owner)
    for statement in (
        "GRANT ALL ON audit_log TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION erase_lead(uuid, text) TO PUBLIC",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "ANALYZE audit_log",
    ):
        # PostgreSQL only warns where the role holds some of these rights itself.
        try:
            await role.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
    assert await evidence(owner) == before


async def test_triggers_work_for_role_without_execute_privilege(owner: Connection, role: Connection) -> None:
    assert not await role.fetchval("SELECT has_function_privilege('count_rows()', 'EXECUTE')")
    count = "SELECT coalesce(sum(rows), 0)::int FROM row_count WHERE table_name = 'lead_inbox' AND state = $1"
    assert await owner.fetchval(count, "received") == 1
    await role.execute("UPDATE lead_inbox SET status = 'processing'")
    assert [await owner.fetchval(count, state) for state in ("received", "processing")] == [0, 1]
    await role.execute(
        "INSERT INTO email_delivery (lead_id, kind, state, message_id)"
        " VALUES ($1, 'welcome', 'waiting', 'm')",
        uuid4(),
    )
    await role.execute("UPDATE email_delivery SET state = 'sent'")
    assert (
        await owner.fetchval("SELECT sum(rows)::int FROM row_count WHERE table_name = 'email_delivery'") == 1
    )
