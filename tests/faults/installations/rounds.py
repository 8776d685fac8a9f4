"""Makes a family of installations and faults: rounds with the load and the checks of `tests.faults.suite`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from tests.faults.environment import Action, Environment
from tests.faults.families.installation import conclude
from tests.faults.family import Family, Result, RunRound, Task
from tests.faults.injections.faults import Fault
from tests.faults.load import Traffic
from tests.faults.suite import Suite

Build = Callable[[Path], Awaitable[Environment]]
# CI runs a round of each family in six minutes.
QUICK_OPTIONS: Final = {"load_seconds": "10", "rate": "20"}
# Less than that of the family `installation`: several servers of a kind share the processors here.
TRAFFIC: Final = Traffic(seconds=20, per_second=25)


def present() -> str | None:
    """Return None: a fault that needs nothing special."""
    return None


@dataclass(frozen=True)
class Described:
    """A fault, and in a few words what it does. `missing` returns what this machine lacks for it, or None.

    `build` makes the installation for its rounds, and `traffic` is their load.
    """

    action: Action
    text: str
    build: Build
    missing: Callable[[], str | None] = present
    traffic: Traffic = TRAFFIC


def make_family(
    name: str,
    faults: Mapping[str, Described],
    *,
    bound_seconds: float,
    rounds_of_a_session: int = 3,
    quick: Sequence[tuple[str, ...]] = (),
) -> Family:
    """Return the family. Its options are `load_seconds` and `rate` (leads a second)."""
    return Family(
        name,
        faults={name: fault.text for name, fault in faults.items()},
        session=partial(_session, faults),
        bound_seconds=bound_seconds,
        missing=lambda fault: faults[fault].missing(),
        rounds_of_a_session=rounds_of_a_session,
        quick=quick,
        quick_options=QUICK_OPTIONS,
    )


class _Suites:
    """Starts the installation that a fault needs, and uses it again for the next fault if it is the same."""

    def __init__(self, faults: Mapping[str, Described], folder: Path, options: Mapping[str, str]) -> None:
        self._faults = faults
        self._folder = folder
        self._options = options
        self._current: tuple[Build, Traffic, Suite] | None = None
        self._count = 0

    async def for_fault(self, name: str) -> Suite:
        fault = self._faults[name]
        traffic = replace(
            fault.traffic,
            seconds=float(self._options.get("load_seconds", fault.traffic.seconds)),
            per_second=float(self._options.get("rate", fault.traffic.per_second)),
        )
        if self._current is not None:
            build, current, suite = self._current
            if (build, current) == (fault.build, traffic):
                return suite
            await self.close()
        self._count += 1
        suite = Suite(
            self._folder / f"installation-{self._count}",
            traffic,
            print,
            keep=False,
            build=fault.build,
            faults={name: Fault(name, each.action, each.missing) for name, each in self._faults.items()},
        )
        self._current = fault.build, traffic, suite
        return suite

    async def close(self) -> None:
        if self._current is not None:
            await self._current[2].close()
            self._current = None


@asynccontextmanager
async def _session(
    faults: Mapping[str, Described], folder: Path, options: Mapping[str, str]
) -> AsyncIterator[RunRound]:
    suites = _Suites(faults, folder, options)

    async def run_round(task: Task) -> Result:
        schedule = task.open_schedule()
        skipped = {name: f"needs {needed}" for name in task.faults if (needed := faults[name].missing())}
        if len(skipped) == len(task.faults):  # the installation may need the same
            return Result(skipped=skipped)
        suite = await suites.for_fault(task.faults[0])
        return conclude(await suite.run(task.seed, task.number, task.faults, schedule.add), task.folder)

    try:
        yield run_round
    finally:
        await suites.close()
