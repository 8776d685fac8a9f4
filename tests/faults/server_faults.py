"""What happens to Kafka and PostgreSQL as processes, to the wire before them, and to the topics."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterator

from deploy.embedded.servers.standalone import Part
from tests.faults.environment import Action, World
from tests.faults.proxy import Proxy, Way
from tests.faults.servers import start_part


@contextlib.contextmanager
def frozen(world: World, part: str = "kafka") -> Iterator[None]:
    """SIGSTOP a server and let it go on; the caller has it alone."""
    server: Part = getattr(world, part)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def stopped(part: str, lasts: float = 0) -> Action:
    """SIGSTOP: its connections stay open, and nobody answers."""

    async def action(world: World, rng: random.Random) -> None:
        seconds = lasts or rng.uniform(5, 20)
        async with world.alone(part):
            world.note(f"SIGSTOP {part} for {seconds:.0f} s")
            with frozen(world, part):
                await asyncio.sleep(seconds)

    return action


def killed(part: str, lasts: float = 0) -> Action:
    """A server dies: Kafka by `kill -9`, PostgreSQL by its immediate stop, which needs a recovery."""

    async def action(world: World, rng: random.Random) -> None:
        server: Part = getattr(world, part)
        seconds = lasts or rng.uniform(1, 8)
        async with world.alone(part):
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


async def poisoned(world: World, rng: random.Random) -> None:
    count = rng.randint(7, 14)
    await world.poison.produce(rng, count)
    world.note(f"{count} poisonous records")
