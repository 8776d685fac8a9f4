"""The flusher's job keeps empty partitions ahead of the audit log, and the metric says if it does not."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from runtime.database.audit_log import append_entries
from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from services.admin.monitoring.metrics_poller import update_audit_partitions
from services.flusher.jobs.audit_partitions import audit_partitions_job
from services.flusher.jobs.job_runs import JobRuns
from tests.integration.database.test_audit_partitions import PARTITIONS, entry
from tests.support.stack import Database


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.owner)
    yield connection
    await connection.close()


async def test_the_job_creates_what_is_missing(owner: Any, postgres: Postgres) -> None:
    await owner.execute("SELECT setval('audit_log_id_seq', 20000000, false)")
    async with open_pool(postgres, "flusher") as pool:
        async with pool.acquire() as connection:
            await append_entries(connection, [entry()])
        await update_audit_partitions(pool)
        assert REGISTRY.get_sample_value("fastcore_audit_partitions_missing") == 2
        assert await audit_partitions_job(pool, JobRuns(pool, now), now).tick()
        await update_audit_partitions(pool)
        assert REGISTRY.get_sample_value("fastcore_audit_partitions_missing") == 0
    names = [row["name"] for row in await owner.fetch(PARTITIONS)]
    assert names[2:] == ["audit_log_from_20000000", "audit_log_from_30000000", "audit_log_from_40000000"]
    report = await owner.fetchval("SELECT last_details FROM scheduled_job WHERE name = 'audit_partitions'")
    assert "audit_log_from_40000000" in report


async def test_a_new_partition_refuses_changes_too(owner: Any) -> None:
    await owner.execute("SELECT setval('audit_log_id_seq', 20000000, false)")
    for name in await owner.fetchval("SELECT create_audit_partitions()"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.execute(f"TRUNCATE {name}")


async def test_writers_do_not_wait_for_a_new_partition(owner: Any, database: Database) -> None:
    # CREATE TABLE ... PARTITION OF would wait for the writer, and all others behind it.
    writer: Any = await asyncpg.connect(database.service)
    begun = writer.transaction()
    await begun.start()
    await append_entries(writer, [entry()])
    await owner.execute("SELECT setval('audit_log_id_seq', 10000000, false)")
    assert await owner.fetchval("SELECT create_audit_partitions()") == ["audit_log_from_30000000"]
    await begun.commit()
    assert await append_entries(writer, [entry()])
    await writer.close()
