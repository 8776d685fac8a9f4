"""An installation in which each service has a clock of its own, set by a file that libfaketime reads."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from runtime.transparency_log.signed_note import SigningKey
from tests.faults.environment import SERVICES, Action, Environment
from tests.faults.injections.clock_faults import LIBRARY, set_clock
from tests.support.services.processes import ServiceProcess

RETENTION_DAYS: Final = 30
# Receivers refuse a signature that is five minutes old or early: a larger step is a fault that they see.
SIGNED_SECONDS: Final = 240.0
Offset = Callable[[datetime, random.Random], float]


class ClockEnvironment(Environment):
    """The installation. Each service starts with the right time."""

    @classmethod
    async def build_with_clocks(cls, folder: Path) -> "ClockEnvironment":
        """Return the installation in this folder, not started."""
        environment = cast("ClockEnvironment", await cls.build(folder))
        environment.is_traced = False  # the retention job erases leads at times of its own
        flusher = environment.services["flusher"].environment
        flusher["FASTCORE_FLUSHER_RETENTION_DAYS"] = str(RETENTION_DAYS)
        flusher["FASTCORE_AUDIT_SIGNING_KEY"] = SigningKey.generate("faults.example").text()
        return environment

    def service(self, name: str) -> ServiceProcess:
        made = super().service(name)
        set_clock(self.clock(name), "+0")
        made.environment |= {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock(name)),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return made

    def clock(self, name: str) -> Path:
        """Return the file that sets the clock of a service."""
        return self.folder / f"clock-of-{name}"

    async def heal(self) -> None:
        for name in SERVICES:
            set_clock(self.clock(name), "+0")
        await super().heal()


def _of(environment: Environment) -> ClockEnvironment:
    assert isinstance(environment, ClockEnvironment)
    return environment


def stepped(offset: Offset, services: Sequence[str] = SERVICES, lasts: float = 0) -> Action:
    """The clocks of at most two services step, one after the other, and step back some seconds later."""

    async def action(environment: Environment, rng: random.Random) -> None:
        environment = _of(environment)
        for name in rng.sample(services, min(2, len(services))):
            seconds = offset(datetime.now(UTC), rng)
            if name == "webhooks":
                seconds = max(-SIGNED_SECONDS, min(SIGNED_SECONDS, seconds))
            environment.log_event(f"the clock of {name} steps by {seconds:+.0f} s")
            set_clock(environment.clock(name), f"{seconds:+.0f}")
            await asyncio.sleep(lasts or rng.uniform(6, 9))
            set_clock(environment.clock(name), "+0")
            environment.log_event(f"the clock of {name} is right again")

    return action


def drifted(rate: float) -> Action:
    """A service's clock runs at another speed, and then steps to the right time."""

    async def action(environment: Environment, rng: random.Random) -> None:
        environment = _of(environment)
        name = rng.choice(SERVICES)
        environment.log_event(f"the clock of {name} runs at {rate:g} times the speed")
        set_clock(environment.clock(name), f"+0 x{rate:g}")
        await asyncio.sleep(rng.uniform(10, 15))
        set_clock(environment.clock(name), "+0")
        environment.log_event(f"the clock of {name} is right again")

    return action
