"""The state of the machine during a comparison: its cores' speed, stolen time, and other programs."""

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Final

import psutil

from tests.bench.placement import CORES, running_on

# Of the processor time in use. A bias of this size is a third of what the widest interval allows to one side.
MOST_STOLEN: Final = 0.05
MOST_OF_OTHERS: Final = 0.05
_PROBES: Final = 5
_PROBE: Final = range(200_000)


@dataclass(frozen=True)
class Core:
    """A core at one moment. `mhz` is None where the system does not say.

    In a virtual machine it is the nominal frequency. So `speed` is measured too: a fixed calculation, in
    millions of additions a second.
    """

    number: int
    mhz: float | None
    speed: float


@dataclass(frozen=True)
class Conditions:
    """What a comparison ran under. Shares are of the processor time that was used or stolen meanwhile.

    `others` is None if the servers do not belong to this run: it cannot tell them from other programs.
    """

    seconds: float
    before: list[Core]
    after: list[Core]
    stolen: float
    others: float | None
    placement: str

    @property
    def disturbed(self) -> str | None:
        """Return why no figure of this comparison may be reported, or None."""
        if self.stolen > MOST_STOLEN:
            return f"{self.stolen:.0%} of the processor time was stolen"
        if self.others is not None and self.others > MOST_OF_OTHERS:
            return f"other programs took {self.others:.0%} of the processor time"
        return None

    def as_json(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds),
            "placement": self.placement,
            "stolen": round(self.stolen, 4),
            "others": None if self.others is None else round(self.others, 4),
            "cores": [
                {
                    "core": before.number,
                    "mhz": [before.mhz, after.mhz],
                    "speed": [round(before.speed, 1), round(after.speed, 1)],
                    "drop": round(1 - after.speed / before.speed, 3),
                }
                for before, after in zip(self.before, self.after, strict=True)
            ],
        }


@dataclass(frozen=True)
class Times:
    """Seconds of processor time up to now: of the machine, stolen from it, and of this run's processes."""

    used: float
    stolen: float
    ours: float


def times() -> Times:
    """Return the times. Interrupts belong to no process, so they do not count as used."""
    machine, ours = psutil.cpu_times(), 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            ours += sum(process.cpu_times()[:4])  # with those of children that have ended
    return Times(machine.user + machine.nice + machine.system, getattr(machine, "steal", 0.0), ours)


def _speed() -> float:
    """Return how fast this thread's core adds: the best of some short tries."""
    best = float("inf")
    for _ in range(_PROBES):
        began = time.perf_counter()
        sum(_PROBE)
        best = min(best, time.perf_counter() - began)
    return len(_PROBE) / best / 1e6


def _look() -> list[Core]:
    frequencies = psutil.cpu_freq(percpu=True) or []  # of cpufreq, or of /proc/cpuinfo
    found = []
    for core in CORES:
        with running_on([core]):
            mhz = frequencies[core].current if core < len(frequencies) else None
            found.append(Core(core, mhz, _speed()))
    return found


class Watch:
    """Observes the machine from now on."""

    def __init__(self) -> None:
        self._before, self._first, self._began = _look(), times(), time.monotonic()

    def conditions(self, placement: str, *, own_servers: bool) -> Conditions:
        """Return what happened since then. `own_servers`: Kafka and PostgreSQL belong to this process."""
        seconds, last = time.monotonic() - self._began, times()
        stolen, others = shares(self._first, last)
        return Conditions(seconds, self._before, _look(), stolen, others if own_servers else None, placement)


def shares(first: Times, last: Times) -> tuple[float, float]:
    """Return which shares of the processor time between two moments were stolen, and used by others."""
    used, stolen, ours = last.used - first.used, last.stolen - first.stolen, last.ours - first.ours
    total = (used + stolen) or 1.0
    return stolen / total, max(0.0, used - ours) / total
