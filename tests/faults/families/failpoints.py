"""Each service kills itself at each failpoint: between two steps, of which the second must follow."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from typing import Final

from tests.faults.environment import Action, Environment
from tests.faults.injections.failpoint import FAILPOINTS, Reached
from tests.faults.injections.service_faults import kill_before
from tests.faults.installations.complete import CompleteEnvironment, complete
from tests.faults.installations.rounds import Described, make_family

_BUILD: Final = CompleteEnvironment.build_complete
_PAUSE_SECONDS: Final = 4.0
# A service starts within some seconds, and its jobs run at once.
REACHED_SECONDS: Final = 60.0


def dies(service: str, place: str, reached: Reached) -> Action:
    """Kill the service at the failpoint, while the round does what leads there."""

    async def action(environment: Environment, rng: random.Random) -> None:
        async with _leading_there(environment, reached):
            await kill_before(service, place, within=REACHED_SECONDS)(environment, rng)

    return action


@contextlib.asynccontextmanager
async def _leading_there(environment: Environment, reached: Reached) -> AsyncIterator[None]:
    steps = {
        "without kafka": _pause_kafka,
        "by a website's queue": _queue_on_website,
        "by the seal": _seal,
    }
    task = asyncio.create_task(steps[reached](environment)) if reached in steps else None
    try:
        yield
    finally:
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _pause_kafka(environment: Environment) -> None:
    """Suspend Kafka again and again, so that leads go to the spool and leave it again."""
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        os.kill(environment.kafka.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            os.kill(environment.kafka.pid, signal.SIGCONT)


async def _queue_on_website(environment: Environment) -> None:
    while True:
        complete(environment).queue_on_website(10)
        await _start_job(environment, "site_queue")


async def _seal(environment: Environment) -> None:
    while True:
        await _start_job(environment, "audit_seal")


async def _start_job(environment: Environment, name: str) -> None:
    with contextlib.suppress(OSError):
        await complete(environment).start_job(name)
    await asyncio.sleep(_PAUSE_SECONDS)


FAMILY = make_family(
    "failpoints",
    {
        f"{service} dies at: {place}": Described(
            dies(service, place, point.reached),
            f"{'after' if point.after else 'before'} {point.method.lstrip('_')}",
            _BUILD,
        )
        for place, point in FAILPOINTS.items()
        if point.reached != "rare"
        for service in point.services
    },
    bound_seconds=240,
    quick=[("flusher dies at: queued lead removed",)],
    rounds_of_a_session=6,
)
