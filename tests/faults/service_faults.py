"""What happens to the services themselves: they die, stop, join and leave."""

import asyncio
import os
import random
import signal
import time

from tests.faults.database_faults import locked
from tests.faults.environment import Action, World
from tests.faults.server_faults import frozen
from tests.faults.servers import start_part
from tests.support.smtp import HANG

PARTS = ("ingest", "persister", "notifier", "flusher")


def kill(name: str) -> Action:
    """`kill -9`; a supervisor starts it again."""

    async def action(world: World, rng: random.Random) -> None:
        for _ in range(rng.randint(1, 2)):
            async with world.alone(name):
                world.note(f"kill -9 {name}")
                world.services[name].kill()
                await asyncio.sleep(rng.uniform(0.2, 2))
                world.services[name].start()
            await asyncio.sleep(rng.uniform(2, 4))

    return action


def restart(name: str) -> Action:
    """SIGTERM under load: it drains, ends by itself with 0 and loses nothing."""

    async def action(world: World, rng: random.Random) -> None:
        async with world.alone(name):
            world.note(f"SIGTERM {name}")
            code = await world.services[name].stop()
            world.note(f"{name} ended with {code}")
            world.services[name].start()

    return action


def another(name: str) -> Action:
    """A second member joins its group, and leaves it, in order or not; and the same again."""

    async def action(world: World, rng: random.Random) -> None:
        for _ in range(2):
            extra = world.service(name)
            world.extras.append(extra)
            extra.start()
            world.note(f"another {name} joins")
            await asyncio.sleep(rng.uniform(3, 9))
            if rng.random() < 0.5:
                world.note(f"kill -9 the other {name}")
                extra.kill()
            else:
                world.note(f"SIGTERM the other {name}")
                await extra.stop()

    return action


async def members_come_and_go(world: World, rng: random.Random) -> None:
    """In each consumer group a second member joins, and 3 s later leaves, in order or not; six times."""

    async def flicker(name: str) -> None:
        await asyncio.sleep(rng.uniform(0, 3))
        for _ in range(3):
            extra = world.service(name)
            world.extras.append(extra)
            extra.start()
            await asyncio.sleep(3)
            if rng.random() < 0.5:
                extra.kill()
            else:
                await extra.stop()
            await asyncio.sleep(3)

    world.note("a second persister, notifier and flusher join and leave every 3 s")
    await asyncio.gather(*(flicker(name) for name in ("persister", "notifier", "flusher")))
    world.note("they stay away")


async def gateway_dies_with_kafka_away(world: World, rng: random.Random) -> None:
    """A cut of its power while leads are in its spool; it starts again with Kafka not there."""
    dead = rng.random() < 0.5
    async with world.alone("ingest", "kafka"):
        world.note("kill -9 kafka" if dead else "SIGSTOP kafka")
        if dead:
            await asyncio.to_thread(world.kafka.kill)
        else:
            os.kill(world.kafka.pid, signal.SIGSTOP)
        await asyncio.sleep(rng.uniform(4, 6))
        world.cut_power_of_gateway()
        await asyncio.sleep(rng.uniform(0.2, 1))
        world.services["ingest"].start()
        await asyncio.sleep(rng.uniform(4, 8))
        if dead:
            await start_part(world.kafka)
        else:
            os.kill(world.kafka.pid, signal.SIGCONT)
    world.note("kafka is back")


async def persister_dies_with_a_batch_in_hand(world: World, rng: random.Random) -> None:
    async with world.alone("persister"):
        async with locked(world, "lead_inbox"):
            await asyncio.sleep(rng.uniform(1, 4))
            world.note("kill -9 persister, which waits for lead_inbox")
            world.services["persister"].kill()
        world.services["persister"].start()


async def notifier_dies_with_mails_in_hand(world: World, rng: random.Random) -> None:
    phase = rng.choice(["mail", "data", "body"])
    async with world.alone("notifier"):
        world.smtp.then(phase, *[HANG] * 4)
        world.note(f"SMTP: hangs at {phase}")
        await asyncio.sleep(rng.uniform(1, 3))
        world.note("kill -9 notifier")
        world.services["notifier"].kill()
        world.smtp.script.pop(phase, None)
        await asyncio.sleep(rng.uniform(0.2, 2))
        world.services["notifier"].start()


def dies_before(name: str, place: str) -> Action:
    """A service kills itself at one place of its way, the first time that it comes there."""

    async def action(world: World, rng: random.Random) -> None:
        async with world.alone(name):
            service = world.services[name]
            await service.stop()
            service.program = ("tests.faults.failpoint", name, place)
            service.start()
            assert service.process
            deadline = time.monotonic() + rng.uniform(20, 30)
            while service.process.poll() is None and time.monotonic() < deadline:
                await world.flush()  # or there may be no replay whose place it could be
                await asyncio.sleep(1)
            if (code := service.process.poll()) is None:
                service.kill()
                world.note(f"{name} did not come to its place: {place}")
            else:
                world.note(f"{name} ended with {code}, before: {place}")
            service.program = ("services", name)
            service.start()

    return action


async def drained_without_kafka(world: World, rng: random.Random) -> None:
    """SIGTERM with the broker away: the exit is bounded all the same."""
    await _drain(world, rng.choice(PARTS))


async def all_drained_without_kafka(world: World, rng: random.Random) -> None:
    """SIGTERM to all of them at once, under load."""
    await asyncio.sleep(rng.uniform(0, 2))
    await _drain(world, *PARTS)


async def _drain(world: World, *names: str) -> None:
    async with world.alone("kafka", *names):
        with frozen(world):
            await asyncio.sleep(2)
            world.note(f"SIGTERM {', '.join(names)} while kafka is stopped")
            began = time.monotonic()
            codes = await asyncio.gather(*(world.services[name].stop() for name in names))
            took = time.monotonic() - began
            world.note(f"ended with {', '.join(map(str, codes))}, the last after {took:.0f} s")
        for name in names:
            world.services[name].start()
