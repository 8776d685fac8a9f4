"""The failures that a driver's errors become while a real server cuts connections."""

import asyncio
from collections import Counter

import asyncpg
import pytest
from prometheus_client import REGISTRY

from runtime.database.postgres import autocommit, open_pool, ping, transaction
from runtime.failures import DependencyUnavailable
from runtime.settings import Postgres


def read(metric: str) -> float:
    """Return the value of a metric without labels."""
    return REGISTRY.get_sample_value(metric) or 0


async def test_regression_connection_cut_at_any_time_is_an_outage(
    postgres: Postgres,
) -> None:
    # asyncpg has an error outside of its own hierarchies. It counted as a bug and ended the admin service;
    # a consumer would have sent valid records to the replay queue.
    outcomes = Counter[str]()
    same_role = await asyncpg.connect(postgres.url.get_secret_value())
    async with open_pool(postgres, "test") as pool:

        async def use() -> None:
            try:
                async with transaction(pool) as connection:
                    await connection.fetchval("SELECT pg_sleep(0.002)")
            except DependencyUnavailable:
                outcomes["away"] += 1
            else:
                outcomes["well"] += 1

        for delay in range(60):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(use())
                await asyncio.sleep(delay * 0.0002)
                await same_role.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'fastcore-test'"
                )
                for _ in range(6):
                    tasks.create_task(use())
    await same_role.close()
    assert outcomes["away"]
    assert outcomes["well"]


async def test_connection_is_released_at_once_without_open_transaction(postgres: Postgres) -> None:
    one = postgres.model_copy(update={"pool_max": 1})
    async with open_pool(one, "test") as pool:
        async with pool.acquire() as connection:
            await connection.execute("BEGIN; SELECT pg_advisory_xact_lock(42)")
        async with autocommit(pool) as connection:
            locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
            assert await connection.fetchval(locks) == 0
            before = await connection.fetchval("SELECT pg_backend_pid()")
        async with transaction(pool) as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") == before


async def test_the_pool_is_measured(postgres: Postgres) -> None:
    acquired, failed = "fastcore_pool_acquire_seconds_count", "fastcore_pool_acquire_failures_total"
    in_use, idle = "fastcore_pool_connections_in_use", "fastcore_pool_connections_idle"
    before = read(acquired), read(failed)
    async with open_pool(postgres.model_copy(update={"pool_max": 1}), "test") as pool:
        assert (read("fastcore_pool_max_connections"), read("fastcore_pool_connections_idle")) == (1, 0)
        async with autocommit(pool):
            assert (read("fastcore_pool_connections_in_use"), read("fastcore_pool_connections_idle")) == (
                1,
                0,
            )
            with pytest.raises(DependencyUnavailable, match="in use"):
                await ping(pool)
        assert (read(in_use), read(idle)) == (0, 1)
        await ping(pool)
    assert (read(acquired), read(failed)) == (before[0] + 2, before[1] + 1)
