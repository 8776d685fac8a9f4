"""The audit log in partitions: how it gets there while services write, and what it refuses then."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.audit import AuditEvent, AuditRecorded
from deploy.cli import migrate as runner
from deploy.cli.audit import partitioning
from deploy.cli.audit.partitioning import partition_log
from deploy.cli.doctor.check_result import CheckResult
from deploy.cli.doctor.rights import SQL as RIGHTS
from deploy.cli.doctor.rights import check_rights
from runtime.database.audit_log import append_entries
from tests.support.stack import Database, Stack
from tests.support.wait import eventually

# What services of a version before migration 0049 send.
OLD_INSERT = (
    "INSERT INTO audit_log (event_id, event, actor) VALUES ($1, 'lead.received', 'old')"
    " ON CONFLICT (event_id) DO NOTHING RETURNING event_id"
)
PARTITIONS = "SELECT name FROM audit_partitions()"


def entry(event_id: UUID | None = None) -> AuditRecorded:
    return AuditRecorded(
        event_id=event_id or uuid4(),
        occurred_at=datetime.now(UTC),
        event=AuditEvent.LEAD_RECEIVED,
        actor="new",
    )


@pytest.fixture
async def one_table(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database of an earlier version, migrated: its audit log is one table."""
    made = await stack.new_database()
    owner = await asyncpg.connect(made.owner)
    await owner.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    async def leave_it(_: Any) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(runner, "partition_log", leave_it)
        await runner.migrate(made.owner, made.service)
    assert await owner.fetch(PARTITIONS) == []
    await owner.close()
    yield made
    await stack.drop_database(made)


@pytest.fixture
async def owner(one_table: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(one_table.owner)
    yield connection
    await connection.close()


@pytest.fixture
async def service(one_table: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(one_table.service)
    yield connection
    await connection.close()


async def test_a_new_database_has_partitions_ahead(database: Database) -> None:
    connection = await asyncpg.connect(database.service)
    names = [row["name"] for row in await connection.fetch(PARTITIONS)]
    assert names == ["audit_log_from_0", "audit_log_from_10000000", "audit_log_from_20000000"]
    assert await connection.fetchval("SELECT create_audit_partitions()") == []
    await connection.close()


async def test_a_known_event_is_left_out_and_not_returned(database: Database) -> None:
    connection: Any = await asyncpg.connect(database.service)
    first, second = entry(), entry()
    assert await append_entries(connection, [first, first]) == {first.event_id}
    assert await append_entries(connection, [second, first]) == {second.event_id}
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == 2
    await connection.close()


async def test_two_writers_append_the_same_event_once(database: Database) -> None:
    one: Any = await asyncpg.connect(database.service)
    other: Any = await asyncpg.connect(database.service)
    same = entry()
    begun = one.transaction()
    await begun.start()
    assert await append_entries(one, [same]) == {same.event_id}
    waiting = asyncio.create_task(append_entries(other, [same]))
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    await eventually(lambda: one.fetchval(blocked), what="the second writer")
    await begun.commit()
    assert await waiting == set()
    await one.close()
    await other.close()


@pytest.mark.parametrize("role", ["owner", "service"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET event = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_each_partition_refuses_every_change(database: Database, role: str, statement: str) -> None:
    connection = await asyncpg.connect(getattr(database, role))
    for row in await connection.fetch(PARTITIONS):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(row["name"]))
    await connection.close()


async def test_the_services_role_has_rights_on_the_parent_only(database: Database) -> None:
    connection = await asyncpg.connect(database.service)
    for row in await connection.fetch(PARTITIONS):
        for statement in (
            "SELECT FROM {}",
            "INSERT INTO {} (id, event_id, event, actor) VALUES (1, gen_random_uuid(), 'x', 'x')",
            "ALTER TABLE audit_log DETACH PARTITION {}",
            "DROP TABLE {}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement.format(row["name"]))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("INSERT INTO audit_event_id VALUES (gen_random_uuid())")
    await connection.close()


async def test_services_of_before_write_until_the_log_is_partitioned(owner: Any, service: Any) -> None:
    old, new = uuid4(), uuid4()
    assert await service.fetchval(OLD_INSERT, old) == old
    assert await append_entries(service, [entry(new), entry(old)]) == {new}
    assert await service.fetchval(OLD_INSERT, new) is None
    assert await partition_log(owner) is True
    assert await append_entries(service, [entry(new), entry(old)]) == set()
    # This error pauses a stage of before, which retries the same records: nothing is lost.
    with pytest.raises(asyncpg.InvalidColumnReferenceError):
        await service.fetchval(OLD_INSERT, uuid4())
    assert await partition_log(owner) is False


async def test_partitioning_loses_no_entry_of_running_writers(
    one_table: Database, owner: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioning, "SMALL_ENTRIES", 100)
    monkeypatch.setattr(partitioning, "COPIED_IDS", 77)
    before = [entry() for _ in range(300)]
    await append_entries(service, before)
    stop, written = asyncio.Event(), list[UUID]()

    async def write(*, by_batch: int) -> None:
        connection: Any = await asyncpg.connect(one_table.service)
        while not stop.is_set():
            batch = [entry() for _ in range(by_batch)]
            async with connection.transaction():
                assert len(await append_entries(connection, [*batch, before[0]])) == by_batch
            written.extend(each.event_id for each in batch)
        await connection.close()

    writers = [asyncio.create_task(write(by_batch=size)) for size in (1, 20)]

    async def progress() -> int:
        return len(written)

    await eventually(progress, until=lambda n: n > 50)
    try:
        assert await partition_log(owner)
        then = len(written)
        await eventually(progress, until=lambda n: n > then + 50)
    finally:
        stop.set()
        await asyncio.gather(*writers)
    ids = [row["event_id"] for row in await service.fetch("SELECT event_id FROM audit_log")]
    assert sorted(ids) == sorted([*(each.event_id for each in before), *written])
    counts = "SELECT tableoid::regclass::text AS name, count(*) AS n FROM audit_log GROUP BY 1 ORDER BY 1"
    # New entries are in a partition with small indexes at once.
    assert [row["name"] for row in await owner.fetch(counts)] == [
        "audit_log_from_0",
        "audit_log_from_10000000",
    ]
    assert await owner.fetchval("SELECT array_length(array_agg(name), 1) FROM audit_partitions()") == 4


async def test_an_interrupted_run_is_continued(owner: Any, service: Any) -> None:
    await append_entries(service, [entry()])
    await partitioning.SQL.record_new_ids(owner)
    await owner.execute("ALTER TABLE audit_log ADD CONSTRAINT audit_log_first_range CHECK (id < 5) NOT VALID")
    assert await partition_log(owner)
    await append_entries(service, [entry() for _ in range(10)])
    assert await owner.fetchval("SELECT count(*) FROM audit_log") == 11


async def test_a_log_that_stays_locked_is_left_as_it_was(
    one_table: Database, owner: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioning, "BUSY_SECONDS", 0)
    monkeypatch.setattr(partitioning, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(partitioning, "RETRY_SECONDS", 0)
    reader = await asyncpg.connect(one_table.service)
    await reader.execute("BEGIN; SELECT FROM audit_log")
    with pytest.raises(RuntimeError, match="locks the audit log"):
        await partition_log(owner)
    await reader.close()
    assert await append_entries(service, [entry()])
    assert await partition_log(owner)


async def test_a_run_that_fails_leaves_no_bound_on_new_ids(
    owner: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(partitioning, "_swap", fail)
    with pytest.raises(RuntimeError):
        await partition_log(owner)
    assert not await partitioning.SQL.has_check(owner)
    assert await append_entries(service, [entry()])


async def test_partitioning_preserves_the_rights_of_other_roles(
    one_table: Database, owner: Any, stack: Stack
) -> None:
    role = f"reader_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(stack.admin_url)
    await admin.execute(f"CREATE ROLE {role}")
    try:
        await owner.execute(f"GRANT SELECT ON audit_log TO {role}; GRANT SELECT (id) ON audit_log TO {role}")
        await partition_log(owner)
        may = "SELECT has_table_privilege($1, $2, 'SELECT')"
        assert await owner.fetchval(may, role, "audit_log")
        assert not await owner.fetchval(may, role, "audit_log_from_0")
        found = {each.check: each.level async for each in _rights(one_table)}
        assert (found["grants"], found["audit-log"]) == ("ok", "ok")
    finally:
        await owner.execute(f"REVOKE ALL (id) ON audit_log FROM {role}; REVOKE ALL ON audit_log FROM {role}")
        await admin.execute(f"DROP ROLE {role}")
        await admin.close()


async def _rights(database: Database) -> AsyncIterator[CheckResult]:
    connection: Any = await asyncpg.connect(database.service)
    try:
        async for found in check_rights(connection, await RIGHTS.server(connection)):
            yield found
    finally:
        await connection.close()
