"""What happens inside PostgreSQL: sessions that end, wait, lock and answer nothing."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from tests.faults.environment import World


async def terminated_backends(world: World, rng: random.Random) -> None:
    world.note("every backend of the services is terminated, three times")
    for _ in range(3):
        await world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fastcore'")
        await asyncio.sleep(rng.uniform(0.5, 2))


async def too_many_connections(world: World, rng: random.Random) -> None:
    held: list[Any] = []
    try:
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                held.append(await asyncpg.connect(world.postgres.urls.service, timeout=30))
        world.note(f"too many connections: {len(held)} are taken")
        await world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'fastcore' AND application_name LIKE 'fastcore-%'"
        )
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                held.append(await asyncpg.connect(world.postgres.urls.service, timeout=30))
        await asyncio.sleep(rng.uniform(4, 10))
    finally:
        for connection in held:
            connection.terminate()


async def read_only(world: World, rng: random.Random) -> None:
    world.note("the database is read-only")
    await world.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    await world.sql("SELECT pg_reload_conf()")
    try:
        await asyncio.sleep(rng.uniform(4, 10))
    finally:
        await world.sql("ALTER SYSTEM RESET default_transaction_read_only")
        await world.sql("SELECT pg_reload_conf()")


@contextlib.asynccontextmanager
async def locked(world: World, table: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(world.postgres.urls.superuser, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            world.note(f"{table} is locked")
            yield
    finally:
        await connection.close()


async def locked_table(world: World, rng: random.Random) -> None:
    tables = ["lead_inbox", "email_delivery", "partition_ledger", "replay_queue"]
    async with locked(world, rng.choice(tables)):
        await asyncio.sleep(rng.uniform(8, 26))


async def deadlocks(world: World, rng: random.Random) -> None:
    """A session takes what the persister takes, in the opposite order; PostgreSQL ends the persister's.

    The persister locks its pages of the books first and appends to audit_log later. We hold the audit
    log until it waits for us, then ask for its pages: its wait began first, so it is its deadlock_timeout
    (1 s) that finds the circle, and ours is too long to.
    """
    before, asked = await _deadlocks(world), rng.randint(2, 4)
    for _ in range(asked):
        connection = await asyncpg.connect(world.postgres.urls.superuser, timeout=10)
        try:
            await connection.execute("SET deadlock_timeout = '1min'; SET lock_timeout = '10s'")
            with contextlib.suppress(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                async with connection.transaction():
                    await connection.execute("LOCK TABLE audit_log IN SHARE ROW EXCLUSIVE MODE")
                    if await _somebody_waits(connection):
                        await connection.execute(
                            "SELECT FROM partition_ledger WHERE stage = 'persister' FOR UPDATE"
                        )
        finally:
            await connection.close()
        await asyncio.sleep(rng.uniform(0.2, 1))
    world.note(f"{await _deadlocks(world) - before} deadlocks of {asked}")


async def _somebody_waits(connection: Any) -> bool:
    for _ in range(100):
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_log'::regclass"
        if await connection.fetchval(waits):
            return True
        await asyncio.sleep(0.05)
    return False


async def _deadlocks(world: World) -> int:
    rows = await world.sql("SELECT sum(deadlocks)::int AS found FROM pg_stat_database")
    return int(rows[0]["found"])


async def lost_commits(world: World, rng: random.Random) -> None:
    """PostgreSQL commits, and nobody hears of it: the connection is cut before its answer."""
    cuts = world.postgres_proxy.cuts
    world.postgres_proxy.last_words = b"COMMIT"
    await asyncio.sleep(rng.uniform(2, 6))
    world.postgres_proxy.last_words = b""
    world.note(f"{world.postgres_proxy.cuts - cuts} commits whose answer was lost")
