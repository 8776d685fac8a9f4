"""What happens to Kafka and PostgreSQL, to the wire before them, and to the topics."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from deploy.embedded.parts import Part
from tests.faults.proxy import Proxy, Way
from tests.faults.world import Action, World, start_part


def stopped(part: str, lasts: float = 0) -> Action:
    """SIGSTOP: its connections stay open, and nobody answers."""

    async def action(world: World, rng: random.Random) -> None:
        server: Part = getattr(world, part)
        seconds = lasts or rng.uniform(5, 20)
        world.note(f"SIGSTOP {part} for {seconds:.0f} s")
        os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(server.pid, signal.SIGCONT)

    return action


def killed(part: str, lasts: float = 0) -> Action:
    """A server dies: Kafka by `kill -9`, PostgreSQL by its immediate stop, which needs a recovery."""

    async def action(world: World, rng: random.Random) -> None:
        server: Part = getattr(world, part)
        seconds = lasts or rng.uniform(1, 8)
        world.note(f"{part} dies for {seconds:.0f} s")
        if part == "postgres" and server.process:
            server.process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(server.process.wait, 20)
        else:
            await asyncio.to_thread(server.kill)
        await asyncio.sleep(seconds)
        await start_part(server)

    return action


def wire(part: str, fault: str) -> Action:
    """The network between the services and a server is bad."""

    async def action(world: World, rng: random.Random) -> None:
        proxy: Proxy = getattr(world, f"{part}_proxy")
        seconds, way = rng.uniform(4, 10), rng.choice(["up", "down"])
        world.note(f"{fault} before {part}" + (f" ({way})" if fault == "blackhole" else ""))
        if fault == "reset":
            for _ in range(rng.randint(2, 5)):
                proxy.reset()
                await asyncio.sleep(rng.uniform(0.3, 2))
            return
        if fault == "refused":
            await proxy.stop()
        elif fault == "blackhole":
            ways: list[Way] = ["up", "down"]
            proxy.blackhole.add(ways[way == "down"])
        elif fault == "latency":
            proxy.latency_seconds = 1.0
        else:
            proxy.bytes_per_second = 10_000
        await asyncio.sleep(seconds)
        await proxy.heal()
        world.note(f"{part} is near again")

    return action


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
                held.append(await asyncpg.connect(world.postgres.urls.service, timeout=10))
        world.note(f"too many connections: {len(held)} are taken")
        await world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'fastcore' AND application_name LIKE 'fastcore-%'"
        )
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                held.append(await asyncpg.connect(world.postgres.urls.service, timeout=10))
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


async def poisoned(world: World, rng: random.Random) -> None:
    count = rng.randint(7, 14)
    await world.poison.produce(rng, count)
    world.note(f"{count} poisonous records")
