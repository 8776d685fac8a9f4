"""Faults of the services: kills, restarts, and members that join and leave."""

import asyncio
import os
import random
import signal
import time

import psutil

from tests.faults.environment import Action, Environment
from tests.faults.injections.database_faults import locked
from tests.faults.injections.server_faults import frozen
from tests.faults.servers import start_part
from tests.support.mail.smtp import HANG
from tests.support.patience import patient
from tests.support.services.one_process import Role
from tests.support.services.processes import ServiceProcess

PARTS = ("ingest", "persister", "notifier", "webhooks", "flusher")


def kill(name: str) -> Action:
    """Kill a service with `kill -9`, and start it again."""

    async def action(environment: Environment, rng: random.Random) -> None:
        for _ in range(rng.randint(1, 2)):
            async with environment.exclusive(name):
                await _kill_and_start(environment, environment.services[name], rng)
            await asyncio.sleep(rng.uniform(2, 4))

    return action


async def _kill_and_start(
    environment: Environment, service: ServiceProcess | Role, rng: random.Random
) -> None:
    """Kill a service. Of a gateway with several workers, kill all, the supervisor alone, or one worker."""
    assert service.process
    workers = service.workers()
    victim = rng.choice(["", "supervisor", *workers]) if workers else ""
    if isinstance(victim, psutil.Process):  # the supervisor starts another
        environment.log_event(f"kill -9 a worker of {service.name}")
        victim.kill()
        return
    environment.log_event(f"kill -9 {victim and 'the supervisor of '}{service.name}")
    if victim:
        service.process.kill()
        service.process.wait()
    else:
        service.kill()
    await asyncio.sleep(rng.uniform(0.2, 2))
    service.start()


def restart(name: str) -> Action:
    """Restart a service with SIGTERM under load; it drains first."""

    async def action(environment: Environment, rng: random.Random) -> None:
        async with environment.exclusive(name):
            environment.log_event(f"SIGTERM {name}")
            code = await environment.services[name].stop()
            environment.log_event(f"{name} ended with {code}")
            environment.services[name].start()

    return action


def extra_member(name: str) -> Action:
    """Twice, a second member joins the group and leaves it, by SIGTERM or `kill -9`."""

    async def action(environment: Environment, rng: random.Random) -> None:
        for _ in range(2):
            extra = environment.service(name)
            environment.extras.append(extra)
            extra.start()
            environment.log_event(f"another {name} joins")
            await asyncio.sleep(rng.uniform(3, 9))
            if rng.random() < 0.5:
                environment.log_event(f"kill -9 the other {name}")
                extra.kill()
            else:
                environment.log_event(f"SIGTERM the other {name}")
                await extra.stop()

    return action


async def rebalance_repeatedly(environment: Environment, rng: random.Random) -> None:
    """In each consumer group a second member joins and leaves every 3 s, by SIGTERM or `kill -9`."""

    async def flicker(name: str) -> None:
        await asyncio.sleep(rng.uniform(0, 3))
        for _ in range(3):
            extra = environment.service(name)
            environment.extras.append(extra)
            extra.start()
            await asyncio.sleep(3)
            if rng.random() < 0.5:
                extra.kill()
            else:
                await extra.stop()
            await asyncio.sleep(3)

    environment.log_event("a second persister, notifier, webhooks and flusher join and leave every 3 s")
    await asyncio.gather(*(flicker(name) for name in PARTS[1:]))
    environment.log_event("no more members join")


async def gateway_power_loss_without_kafka(environment: Environment, rng: random.Random) -> None:
    """The gateway loses power with leads in its spool, and starts again while Kafka is unavailable."""
    dead = rng.random() < 0.5
    async with environment.exclusive("ingest", "kafka"):
        environment.log_event("kill -9 kafka" if dead else "SIGSTOP kafka")
        if dead:
            await asyncio.to_thread(environment.kafka.kill)
        else:
            os.kill(environment.kafka.pid, signal.SIGSTOP)
        await asyncio.sleep(rng.uniform(4, 6))
        environment.cut_power_of_gateway()
        await asyncio.sleep(rng.uniform(0.2, 1))
        environment.services["ingest"].start()
        await asyncio.sleep(rng.uniform(4, 8))
        if dead:
            await start_part(environment.kafka)
        else:
            os.kill(environment.kafka.pid, signal.SIGCONT)
    environment.log_event("kafka is available again")


async def kill_persister_mid_batch(environment: Environment, rng: random.Random) -> None:
    async with environment.exclusive("persister"):
        async with locked(environment, "lead_inbox"):
            await asyncio.sleep(rng.uniform(1, 4))
            environment.log_event("kill -9 persister, which waits for lead_inbox")
            environment.services["persister"].kill()
        environment.services["persister"].start()


async def kill_notifier_mid_mail(environment: Environment, rng: random.Random) -> None:
    phase = rng.choice(["mail", "data", "body"])
    async with environment.exclusive("notifier"):
        environment.smtp.then(phase, *[HANG] * 4)
        environment.log_event(f"SMTP: hangs at {phase}")
        await asyncio.sleep(rng.uniform(1, 3))
        environment.log_event("kill -9 notifier")
        environment.services["notifier"].kill()
        environment.smtp.script.pop(phase, None)
        await asyncio.sleep(rng.uniform(0.2, 2))
        environment.services["notifier"].start()


def kill_before(name: str, place: str, *, within: float = 0) -> Action:
    """A service kills itself the first time that it reaches a failpoint.

    With `within`, in seconds, it is an error of the suite if it does not reach it in that time.
    """

    async def action(environment: Environment, rng: random.Random) -> None:
        async with environment.exclusive(name):
            service = environment.services[name]
            await service.stop()
            program, service.program = (
                service.program,
                (
                    "tests.faults.injections.failpoint",
                    service.roles,
                    place,
                ),
            )
            service.start()
            assert service.process
            deadline = time.monotonic() + patient(within or rng.uniform(20, 30))
            while service.process.poll() is None and time.monotonic() < deadline:
                await environment.flush()  # the failpoint may be in a replay, so cause one
                await asyncio.sleep(1)
            if (code := service.process.poll()) is None:
                service.kill()
                environment.log_event(f"{name} did not reach: {place}")
            else:
                environment.log_event(f"{name} ended with {code}, before: {place}")
            service.program = program
            service.start()
            assert code is not None or not within, f"{name} did not reach: {place}"
            assert code in (None, -signal.SIGKILL), f"{name} ended with {code}, and not at: {place}"

    return action


async def drain_without_kafka(environment: Environment, rng: random.Random) -> None:
    """A service gets SIGTERM while Kafka is unavailable; it must exit in time."""
    await _drain(environment, rng.choice(PARTS))


async def drain_all_without_kafka(environment: Environment, rng: random.Random) -> None:
    """All services get SIGTERM at once under load, while Kafka is unavailable."""
    await asyncio.sleep(rng.uniform(0, 2))
    await _drain(environment, *PARTS)


async def _drain(environment: Environment, *names: str) -> None:
    async with environment.exclusive("kafka", *names):
        with frozen(environment):
            await asyncio.sleep(2)
            environment.log_event(f"SIGTERM {', '.join(names)} while kafka is stopped")
            began = time.monotonic()
            codes = await asyncio.gather(*(environment.services[name].stop() for name in names))
            took = time.monotonic() - began
            environment.log_event(f"ended with {', '.join(map(str, codes))}, the last after {took:.0f} s")
        for name in names:
            environment.services[name].start()
