"""Faults inside PostgreSQL: terminated sessions, locks, deadlocks, and commits without a reply."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from tests.faults.environment import Environment


async def terminated_backends(environment: Environment, rng: random.Random) -> None:
    environment.log_event("every backend of the services is terminated, three times")
    for _ in range(3):
        await environment.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fastcore'"
        )
        await asyncio.sleep(rng.uniform(0.5, 2))


async def too_many_connections(environment: Environment, rng: random.Random) -> None:
    held: list[Any] = []
    try:
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                held.append(await asyncpg.connect(environment.postgres.urls.service, timeout=30))
        environment.log_event(f"too many connections: {len(held)} are taken")
        await environment.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'fastcore' AND application_name LIKE 'fastcore-%'"
        )
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                held.append(await asyncpg.connect(environment.postgres.urls.service, timeout=30))
        await asyncio.sleep(rng.uniform(4, 10))
    finally:
        for connection in held:
            connection.terminate()


async def read_only(environment: Environment, rng: random.Random) -> None:
    environment.log_event("the database is read-only")
    await environment.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    await environment.sql("SELECT pg_reload_conf()")
    try:
        await asyncio.sleep(rng.uniform(4, 10))
    finally:
        await environment.sql("ALTER SYSTEM RESET default_transaction_read_only")
        await environment.sql("SELECT pg_reload_conf()")


@contextlib.asynccontextmanager
async def locked(environment: Environment, table: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(environment.postgres.urls.superuser, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            environment.log_event(f"{table} is locked")
            yield
    finally:
        await connection.close()


async def locked_table(environment: Environment, rng: random.Random) -> None:
    tables = ["lead_inbox", "email_delivery", "partition_ledger", "replay_queue"]
    async with locked(environment, rng.choice(tables)):
        await asyncio.sleep(rng.uniform(8, 26))


async def deadlocks(environment: Environment, rng: random.Random) -> None:
    """Lock the persister's tables in the opposite order, so that PostgreSQL aborts the persister.

    The persister locks its ledger rows first and appends to audit_log later. This session locks audit_log,
    waits until the persister waits for it, and then locks the ledger rows. The persister's deadlock_timeout
    (1 s) expires first and detects the deadlock, because this session's timeout is a minute.
    """
    before, attempts = await _deadlocks(environment), rng.randint(2, 4)
    for _ in range(attempts):
        connection = await asyncpg.connect(environment.postgres.urls.superuser, timeout=10)
        try:
            await connection.execute("SET deadlock_timeout = '1min'; SET lock_timeout = '10s'")
            with contextlib.suppress(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                async with connection.transaction():
                    await connection.execute("LOCK TABLE audit_log IN SHARE ROW EXCLUSIVE MODE")
                    if await _wait_for_lock_queue(connection):
                        await connection.execute(
                            "SELECT FROM partition_ledger WHERE stage = 'persister' FOR UPDATE"
                        )
        finally:
            await connection.close()
        await asyncio.sleep(rng.uniform(0.2, 1))
    environment.log_event(f"{await _deadlocks(environment) - before} deadlocks in {attempts} attempts")


async def _wait_for_lock_queue(connection: Any) -> bool:
    for _ in range(100):
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_log'::regclass"
        if await connection.fetchval(waits):
            return True
        await asyncio.sleep(0.05)
    return False


async def _deadlocks(environment: Environment) -> int:
    rows = await environment.sql("SELECT sum(deadlocks)::int AS found FROM pg_stat_database")
    return int(rows[0]["found"])


async def lost_commits(environment: Environment, rng: random.Random) -> None:
    """PostgreSQL commits, and the connection is cut before its reply."""
    cuts = environment.postgres_proxy.cuts
    # The persister stores new leads by one statement without a COMMIT: the text is of its audit entries.
    for last in (b"COMMIT", b'"event":"lead.received"'):
        environment.postgres_proxy.cut_after = last
        await asyncio.sleep(rng.uniform(1, 3))
    environment.postgres_proxy.cut_after = b""
    environment.log_event(f"{environment.postgres_proxy.cuts - cuts} commits whose reply was lost")
