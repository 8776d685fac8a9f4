"""The services work through PgBouncer 1.18 in transaction mode, during a migration too."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from deploy.cli import migrate as runner
from deploy.cli.migrate import LOCK, migrate
from runtime.database.erasure import erase_lead
from runtime.database.postgres import Connection, Pool, open_pool, transaction
from runtime.failures import DependencyUnavailable
from runtime.settings import Postgres
from services.admin.store.leads.leads import _SQL as LEADS
from services.admin.store.leads.status_changes import _SQL as STATUS_CHANGES
from services.admin.store.privacy.personal_data import _SQL as PERSONAL_DATA
from services.flusher.store import SQL as FLUSHER
from tests.support.database.pgbouncer import running_pgbouncer
from tests.support.factories import lead
from tests.support.services.admin import add_leads
from tests.support.stack import Database
from tests.support.wait import eventually

TABLES = ("lead_inbox", "email_delivery", "replay_queue", "queue_replay", "audit_log", "row_count")
RETRIED_SECONDS = 5.0


@pytest.fixture
async def pooled(database: Database) -> AsyncIterator[Database]:
    """The test's database through PgBouncer."""
    with running_pgbouncer(database.owner, database.service) as (owner, service):

        async def answers() -> bool:
            try:
                await (await asyncpg.connect(service)).close()
            except OSError:
                return False
            return True

        await eventually(answers, what="PgBouncer")
        yield Database(owner, service)


def pool_settings(database: Database) -> Postgres:
    return Postgres.model_validate({"url": database.service})


async def test_regression_statements_survive_transaction_mode(pooled: Database) -> None:
    async with open_pool(pool_settings(pooled), "test") as pool:

        async def use(number: int) -> None:
            for _ in range(20):
                async with transaction(pool) as connection:
                    assert await connection.fetchval(f"SELECT $1::int + {number}", 1) == 1 + number

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(use(number))


async def test_migration_through_pooler_releases_its_lock(
    pooled: Database, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "9999_add_column.sql").write_text("ALTER TABLE lead_inbox ADD COLUMN again int")
    monkeypatch.setattr(runner, "MIGRATIONS", tmp_path / "files")
    async with asyncio.timeout(30):  # a lock of a session, left behind, would hold the others forever
        applied = await asyncio.gather(*(migrate(pooled.owner, pooled.service) for _ in range(4)))
    assert sorted(applied) == [[], [], [], ["9999_add_column.sql"]]
    connection = await asyncpg.connect(database.owner)
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = $1"
    assert await connection.fetchval(held, LOCK & 0xFFFFFFFF) == 0
    await connection.close()


@pytest.mark.parametrize("way", ["direct", "pooled"])
async def test_queries_fail_no_longer_than_a_migration_takes(
    way: str,
    pooled: Database,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = pooled if way == "pooled" else database
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "9999_add_columns.sql").write_text(
        "".join(f"ALTER TABLE {table} ADD COLUMN again int DEFAULT 1;\n" for table in TABLES)
    )
    monkeypatch.setattr(runner, "MIGRATIONS", tmp_path / "files")
    db: Any = await asyncpg.connect(database.owner)
    stored = lead()
    await add_leads(db, [stored])
    failures, runs, stopping = Counter[str](), Counter[str](), asyncio.Event()
    async with open_pool(pool_settings(used), "test") as pool, asyncio.TaskGroup() as group:
        for name, query in queries(stored.lead_id).items():
            for _ in range(2):
                group.create_task(_repeat(pool, name, query, runs, failures, stopping))
        # Every query has run, on every connection, with the plans of before.
        await eventually(lambda: _count(runs, 20), what="the load")
        assert await migrate(used.owner, used.service) == ["9999_add_columns.sql"]
        runs.clear()
        await eventually(lambda: _count(runs, 20), what="the load after the migration")
        stopping.set()
    await db.close()
    assert not {reason for reason in failures if not reason.endswith("40P01")}, failures


def queries(lead_id: UUID) -> dict[str, Callable[[Connection], Awaitable[Any]]]:
    """Return queries of the services: those that return whole rows, and both functions with `SELECT *`."""

    async def claim(connection: Connection) -> list[Any]:
        now = await connection.fetchval("SELECT now()")
        parameters = {"stage": "notifier", "target": "notifier", "now": now, "chunk": 10}
        return [row async for row in FLUSHER.claim_due(connection, **parameters)]

    async def mails(connection: Connection) -> list[Any]:
        return [row async for row in PERSONAL_DATA.read_emails(connection, id=lead_id)]

    async def set_statuses(connection: Connection) -> list[Any]:
        rows = STATUS_CHANGES.set_statuses(connection, ids=[lead_id], status="contacted")
        return [row async for row in rows]

    async def make_and_erase(connection: Connection) -> None:
        new = uuid4()
        await connection.execute(
            "INSERT INTO email_delivery (lead_id, kind, state, message_id)"
            " VALUES ($1, 'welcome', 'sent', 'm')",
            new,
        )
        assert await erase_lead(connection, new, "test")

    return {
        "get_lead": lambda connection: LEADS.get_lead(connection, id=lead_id),
        "lock_lead": lambda connection: LEADS.lock_lead(connection, id=lead_id),
        "set_statuses": set_statuses,
        "read_lead": lambda connection: PERSONAL_DATA.read_lead(connection, id=lead_id),
        "read_emails": mails,
        "claim_due": claim,
        "make_and_erase": make_and_erase,
    }


async def _repeat(
    pool: Pool,
    name: str,
    query: Callable[[Connection], Awaitable[Any]],
    runs: Counter[str],
    failures: Counter[str],
    stopping: asyncio.Event,
) -> None:
    """Repeat a query; fail if it fails for longer than a retry takes."""
    failing_since: float | None = None
    while not stopping.is_set():
        try:
            async with transaction(pool) as connection:
                await query(connection)
        except DependencyUnavailable as away:
            failures[away.reason] += 1
            failing_since = failing_since or time.monotonic()
            if time.monotonic() - failing_since > RETRIED_SECONDS:
                pytest.fail(f"{name}: {away.reason}")
        else:
            runs[name] += 1
            failing_since = None
        await asyncio.sleep(0)


async def _count(runs: Counter[str], least: int) -> bool:
    return len(runs) == len(queries(uuid4())) and min(runs.values()) >= least
