"""Faults of the Kafka and PostgreSQL processes, of the network before each server, and poison records."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterator

from deploy.embedded.servers.standalone import Server
from tests.faults.environment import Action, Environment
from tests.faults.injections.proxy import Direction, Proxy
from tests.faults.servers import start_part


@contextlib.contextmanager
def frozen(environment: Environment, part: str = "kafka") -> Iterator[None]:
    """Stop a server with SIGSTOP while the block lasts. The caller holds it with `exclusive`."""
    server: Server = getattr(environment, part)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def stopped(part: str, lasts: float = 0) -> Action:
    """A server hangs: its connections stay open and get no reply."""

    async def action(environment: Environment, rng: random.Random) -> None:
        seconds = lasts or rng.uniform(5, 20)
        async with environment.exclusive(part):
            environment.log_event(f"SIGSTOP {part} for {seconds:.0f} s")
            with frozen(environment, part):
                await asyncio.sleep(seconds)

    return action


def killed(part: str, lasts: float = 0) -> Action:
    """A server dies: Kafka by `kill -9`, PostgreSQL by an immediate stop, which requires recovery."""

    async def action(environment: Environment, rng: random.Random) -> None:
        server: Server = getattr(environment, part)
        seconds = lasts or rng.uniform(1, 8)
        async with environment.exclusive(part):
            environment.log_event(f"{part} dies for {seconds:.0f} s")
            if part == "postgres" and server.process:
                server.process.send_signal(signal.SIGQUIT)
                await asyncio.to_thread(server.process.wait, 20)
            else:
                await asyncio.to_thread(server.kill)
            await asyncio.sleep(seconds)
            await start_part(server)

    return action


def network_fault(part: str, fault: str) -> Action:
    """The network between the services and a server fails."""

    async def action(environment: Environment, rng: random.Random) -> None:
        proxy: Proxy = getattr(environment, f"{part}_proxy")
        seconds, way = rng.uniform(4, 10), rng.choice(["up", "down"])
        environment.log_event(f"{fault} before {part}" + (f" ({way})" if fault == "blackhole" else ""))
        if fault == "reset":
            for _ in range(rng.randint(2, 5)):
                proxy.reset()
                await asyncio.sleep(rng.uniform(0.3, 2))
            return
        if fault == "refused":
            await proxy.stop()
        elif fault == "blackhole":
            ways: list[Direction] = ["up", "down"]
            proxy.blackhole.add(ways[way == "down"])
        elif fault == "latency":
            proxy.latency_seconds = 1.0
        else:
            proxy.bytes_per_second = 10_000
        await asyncio.sleep(seconds)
        await proxy.heal()
        environment.log_event(f"{part} is reachable again")

    return action


async def produce_poison(environment: Environment, rng: random.Random) -> None:
    count = rng.randint(7, 14)
    await environment.poison.produce(rng, count)
    environment.log_event(f"{count} poison records")
