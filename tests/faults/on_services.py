"""What happens to the services themselves: they die, stop, join and leave."""

import asyncio
import os
import random
import signal

from tests.faults.on_servers import locked
from tests.faults.world import Action, World, start_part
from tests.support.smtp import HANG


def kill(name: str) -> Action:
    """`kill -9`; a supervisor starts it again."""

    async def action(world: World, rng: random.Random) -> None:
        for _ in range(rng.randint(1, 2)):
            world.note(f"kill -9 {name}")
            world.services[name].kill()
            await asyncio.sleep(rng.uniform(0.2, 2))
            world.services[name].start()
            await asyncio.sleep(rng.uniform(2, 4))

    return action


def restart(name: str) -> Action:
    """SIGTERM under load: it drains, ends by itself with 0 and loses nothing."""

    async def action(world: World, rng: random.Random) -> None:
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


async def gateway_dies_with_kafka_away(world: World, rng: random.Random) -> None:
    """A cut of its power while leads are in its spool; it starts again with Kafka not there."""
    dead = rng.random() < 0.5
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
    async with locked(world, "lead_inbox"):
        await asyncio.sleep(rng.uniform(1, 4))
        world.note("kill -9 persister, which waits for lead_inbox")
        world.services["persister"].kill()
    world.services["persister"].start()


async def notifier_dies_with_mails_in_hand(world: World, rng: random.Random) -> None:
    phase = rng.choice(["mail", "data", "body"])
    world.smtp.then(phase, *[HANG] * 4)
    world.note(f"SMTP: hangs at {phase}")
    await asyncio.sleep(rng.uniform(1, 3))
    world.note("kill -9 notifier")
    world.services["notifier"].kill()
    world.smtp.script.pop(phase, None)
    await asyncio.sleep(rng.uniform(0.2, 2))
    world.services["notifier"].start()


async def drained_without_kafka(world: World, rng: random.Random) -> None:
    """SIGTERM with the broker away: the exit is bounded all the same."""
    name = rng.choice(["ingest", "persister", "notifier", "flusher"])
    os.kill(world.kafka.pid, signal.SIGSTOP)
    await asyncio.sleep(2)
    world.note(f"SIGTERM {name} while kafka is stopped")
    try:
        code = await world.services[name].stop()
        world.note(f"{name} ended with {code}")
    finally:
        os.kill(world.kafka.pid, signal.SIGCONT)
    world.services[name].start()
