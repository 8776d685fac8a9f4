"""The faults: each breaks one real thing for a while, told by a seed. What must hold is the checker's."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg

from deploy.embedded.parts import Part
from tests.faults.poison import Poisoner
from tests.faults.proxy import Proxy, Way
from tests.faults.world import World, start_part
from tests.support.smtp import DROP, HANG

Action = Callable[[World, random.Random, Poisoner], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """One kind of trouble."""

    name: str
    action: Action


def kill(name: str) -> Action:
    """`kill -9`; a supervisor starts it again."""

    async def action(world: World, rng: random.Random, poison: Poisoner) -> None:
        for _ in range(rng.randint(1, 2)):
            world.note(f"kill -9 {name}")
            world.services[name].kill()
            await asyncio.sleep(rng.uniform(0.2, 2))
            world.services[name].start()
            await asyncio.sleep(rng.uniform(2, 4))

    return action


def restart(name: str) -> Action:
    """SIGTERM under load: it drains, ends by itself with 0 and loses nothing."""

    async def action(world: World, rng: random.Random, poison: Poisoner) -> None:
        world.note(f"SIGTERM {name}")
        code = await world.services[name].stop()
        world.note(f"{name} ended with {code}")
        world.services[name].start()

    return action


def another(name: str) -> Action:
    """A second member joins its group, and leaves it: in order or not."""

    async def action(world: World, rng: random.Random, poison: Poisoner) -> None:
        extra = world.service(name)
        world.extras.append(extra)
        extra.start()
        world.note(f"another {name} joins")
        await asyncio.sleep(rng.uniform(5, 9))
        if rng.random() < 0.5:
            world.note(f"kill -9 the other {name}")
            extra.kill()
        else:
            world.note(f"SIGTERM the other {name}")
            await extra.stop()

    return action


def stopped(part: str) -> Action:
    """SIGSTOP: its connections stay open, and nobody answers."""

    async def action(world: World, rng: random.Random, poison: Poisoner) -> None:
        server: Part = getattr(world, part)
        seconds = rng.uniform(5, 20)
        world.note(f"SIGSTOP {part} for {seconds:.0f} s")
        os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(server.pid, signal.SIGCONT)

    return action


def killed(part: str) -> Action:
    """A server dies: Kafka by `kill -9`, PostgreSQL by its immediate stop, which needs a recovery."""

    async def action(world: World, rng: random.Random, poison: Poisoner) -> None:
        server: Part = getattr(world, part)
        seconds = rng.uniform(1, 8)
        world.note(f"{part} dies for {seconds:.0f} s")
        if part == "postgres" and server.process:
            server.process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(server.process.wait, 20)
        else:
            await asyncio.to_thread(server.kill)
        await asyncio.sleep(seconds)
        await start_part(server)

    return action


async def gateway_dies_with_kafka_away(world: World, rng: random.Random, poison: Poisoner) -> None:
    world.note("SIGSTOP kafka")
    os.kill(world.kafka.pid, signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(4, 6))
    world.note("kill -9 ingest, while kafka is away")
    world.services["ingest"].kill()
    await asyncio.sleep(rng.uniform(0.2, 1))
    world.services["ingest"].start()
    await asyncio.sleep(rng.uniform(4, 8))
    os.kill(world.kafka.pid, signal.SIGCONT)
    world.note("kafka goes on")


def wire(part: str, fault: str) -> Action:
    """The network between the services and a server is bad."""

    async def action(world: World, rng: random.Random, poison: Poisoner) -> None:
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


async def terminated_backends(world: World, rng: random.Random, poison: Poisoner) -> None:
    world.note("every backend of the services is terminated, three times")
    for _ in range(3):
        await world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fastcore'")
        await asyncio.sleep(rng.uniform(0.5, 2))


async def too_many_connections(world: World, rng: random.Random, poison: Poisoner) -> None:
    held = list[asyncpg.Connection[asyncpg.Record]]()
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


async def read_only(world: World, rng: random.Random, poison: Poisoner) -> None:
    world.note("the database is read-only")
    await world.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    await world.sql("SELECT pg_reload_conf()")
    try:
        await asyncio.sleep(rng.uniform(4, 10))
    finally:
        await world.sql("ALTER SYSTEM RESET default_transaction_read_only")
        await world.sql("SELECT pg_reload_conf()")


async def locked_table(world: World, rng: random.Random, poison: Poisoner) -> None:
    connection = await asyncpg.connect(world.postgres.urls.superuser, timeout=10)
    try:
        async with connection.transaction():
            table = rng.choice(["lead_inbox", "email_delivery", "partition_ledger", "replay_queue"])
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            world.note(f"{table} is locked")
            await asyncio.sleep(rng.uniform(8, 26))
    finally:
        await connection.close()


def smtp_says(phase: str, answer: str) -> Action:
    """The mail server answers everybody so for a while."""

    async def action(world: World, rng: random.Random, poison: Poisoner) -> None:
        world.note(f"SMTP: {answer} at {phase}")
        world.smtp.always[phase] = answer
        if phase in ("connect", "ehlo", "login"):  # else the sessions that are open would not notice
            world.smtp_proxy.reset()
        await asyncio.sleep(rng.uniform(3, 8))
        world.smtp.always.pop(phase, None)

    return action


def smtp_now_and_then(answer: str, *phases: str) -> Action:
    """A few mails meet this."""

    async def action(world: World, rng: random.Random, poison: Poisoner) -> None:
        phase, times = rng.choice(phases), rng.randint(2, 6)
        world.note(f"SMTP: {answer} at {phase}, {times} times")
        world.smtp.then(phase, *[answer] * times)
        if phase in ("connect", "ehlo", "login"):
            world.smtp_proxy.reset()
        await asyncio.sleep(rng.uniform(3, 6))

    return action


async def smtp_away(world: World, rng: random.Random, poison: Poisoner) -> None:
    seconds = rng.uniform(4, 10)
    world.note(f"SMTP: away for {seconds:.0f} s")
    await world.smtp_proxy.stop()
    await asyncio.sleep(seconds)
    await world.smtp_proxy.heal()


async def poisoned(world: World, rng: random.Random, poison: Poisoner) -> None:
    count = rng.randint(7, 14)
    await poison.produce(rng, count)
    world.note(f"{count} poisonous records")


def _all() -> list[Fault]:
    named: dict[str, Action] = {
        f"kill {name}": kill(name) for name in ("ingest", "persister", "notifier", "flusher")
    }
    named |= {f"restart {name}": restart(name) for name in ("ingest", "persister", "notifier", "flusher")}
    named |= {f"another {name}": another(name) for name in ("persister", "notifier", "flusher")}
    named |= {"stop kafka": stopped("kafka"), "kill kafka": killed("kafka")}
    named |= {"kill postgres": killed("postgres"), "gateway and kafka": gateway_dies_with_kafka_away}
    for part in ("kafka", "postgres", "smtp"):
        named |= {f"{fault} {part}": wire(part, fault) for fault in ("blackhole", "reset", "latency", "slow")}
    named |= {f"refused {part}": wire(part, "refused") for part in ("kafka", "postgres")}
    named |= {
        "terminate backends": terminated_backends,
        "too many connections": too_many_connections,
        "read-only": read_only,
        "locked table": locked_table,
        "smtp 421 connect": smtp_says("connect", "421 4.3.2 too busy"),
        "smtp 421 rcpt": smtp_says("rcpt", "421 4.7.0 slow down"),
        "smtp 451 mail": smtp_says("mail", "451 4.3.0 try later"),
        "smtp 452 rcpt": smtp_says("rcpt", "452 4.3.1 no space"),
        "smtp 535": smtp_says("login", "535 5.7.8 not you"),
        "smtp 450": smtp_now_and_then("450 4.2.1 busy mailbox", "rcpt"),
        "smtp 451": smtp_now_and_then("451 4.7.1 greylisted", "rcpt", "data", "body"),
        "smtp hang": smtp_now_and_then(HANG, "connect", "ehlo", "login", "mail", "rcpt", "data"),
        "smtp drop": smtp_now_and_then(DROP, "connect", "ehlo", "login", "mail", "rcpt", "data"),
        "smtp hang after the dot": smtp_now_and_then(HANG, "body"),
        "smtp drop after the dot": smtp_now_and_then(DROP, "body"),
        "smtp away": smtp_away,
        "poison": poisoned,
    }
    return [Fault(name, action) for name, action in named.items()]


ALL = {fault.name: fault for fault in _all()}

# At most four minutes on two cores: what broke most often while this was built.
QUICK = (
    ("kill persister", "poison", "smtp drop after the dot"),
    ("gateway and kafka", "smtp 451"),
    ("kill postgres", "kill notifier"),
    ("reset kafka", "restart persister", "smtp 535"),
)


def deal(seed: int, rounds: int) -> list[tuple[str, ...]]:
    """Deal one or two faults to each round from a shuffled deck, so that none is left out for long."""
    rng, deck, dealt = random.Random(seed), list[str](), list[tuple[str, ...]]()
    for _ in range(rounds):
        hand = list[str]()
        for _ in range(rng.choice((1, 2, 2))):
            if not deck:
                deck = rng.sample(sorted(ALL), len(ALL))
            if deck[-1] not in hand:
                hand.append(deck.pop())
        dealt.append(tuple(hand))
    return dealt
