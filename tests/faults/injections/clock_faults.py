"""The clock of a machine jumps, and jumps back. libfaketime does it in one process at a time."""

import asyncio
import random
from pathlib import Path

from tests.faults.environment import Action, Environment
from tests.faults.injections.service_faults import PARTS

# Kafka refuses records whose producer timestamp is more than an hour ahead.
OVER_AN_HOUR = 3700

# The paths of libfaketime on Debian and on other systems.
_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")
LIBRARY = next(
    (str(found) for place in _PLACES for found in Path("/").glob(f"{place[1:]}/libfaketimeMT.so.1")), None
)


def missing_faketime() -> str | None:
    """Return the tool that a clock jump needs and that is not installed, or None."""
    return None if LIBRARY else "libfaketime (apt-get install faketime)"


def jumps(seconds: int) -> Action:
    """The wall clock of a service jumps, and jumps back after some seconds.

    The monotonic clock does not change, as on a real machine.
    """

    async def action(environment: Environment, rng: random.Random) -> None:
        # Receivers refuse a signature of another hour, so a jump of webhooks is a fault that they see.
        name = rng.choice([part for part in PARTS if part != "webhooks"])
        clock = environment.folder / f"clock-of-{name}"
        async with environment.exclusive(name):
            service = environment.services[name]
            set_clock(clock, "+0")
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
                del service.environment[key]  # only the process just started has them
            await asyncio.sleep(3)
            for offset in (seconds, 0):
                set_clock(clock, f"{offset:+d}")
                environment.log_event(f"the clock of {name} is {offset:+d} s")
                await asyncio.sleep(rng.uniform(5, 8))

    return action


def set_clock(clock: Path, text: str) -> None:
    """Set the clock of the processes that read this file: an offset in seconds, such as `+3700`."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{text}\n")
    fresh.rename(clock)  # atomic: libfaketime never reads a partial file
