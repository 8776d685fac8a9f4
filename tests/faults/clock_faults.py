"""What happens to a machine's clock: it jumps, and back. Through libfaketime, in one process at a time."""

import asyncio
import random
from pathlib import Path

from tests.faults.environment import Action, World
from tests.faults.service_faults import PARTS

# Kafka refuses, where the producer's clock counts, what is stamped more than an hour ahead.
HOUR_AND_A_BIT = 3700

# Debian's package `faketime`, and where others put it.
_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")
LIBRARY = next(
    (str(found) for place in _PLACES for found in Path("/").glob(f"{place[1:]}/libfaketimeMT.so.1")), None
)


def no_faketime() -> str | None:
    """Say what a jump needs and this machine has not."""
    return None if LIBRARY else "libfaketime (apt-get install faketime)"


def jumps(seconds: int) -> Action:
    """The clock of a service's machine jumps, stays so for a while, and jumps back.

    Only the time of day: what a process measures durations with never jumps on a real machine either.
    """

    async def action(world: World, rng: random.Random) -> None:
        name = rng.choice(PARTS)
        clock = world.folder / f"clock-of-{name}"
        async with world.alone(name):
            service = world.services[name]
            _set(clock, 0)
            faked = {
                "LD_PRELOAD": str(LIBRARY),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            await service.stop()
            service.environment |= faked
            service.start()
            for key in faked:
                del service.environment[key]  # the process has it, the next one is without
            await asyncio.sleep(3)
            for offset in (seconds, 0):
                _set(clock, offset)
                world.note(f"the clock of {name} is {offset:+d} s")
                await asyncio.sleep(rng.uniform(5, 8))

    return action


def _set(clock: Path, offset: int) -> None:
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{offset:+d}\n")
    fresh.rename(clock)  # never read half written
