"""What a family of faults is: the interface between the runner and the modules in `families`.

A family has an installation of its own kind, the faults that it injects into it, and a function that runs
one round: load, faults, healing, waiting until nothing is pending, counting. The runner chooses the faults of
each round, bounds its time, and records its result.
"""

import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.violations import Violation

SCHEDULE = "schedule.jsonl"


class Schedule:
    """Says when which fault was injected and healed. Writes each event at once, in case the round hangs.

    The file has a JSON object in each line: `at` (seconds since the round began) and `event`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began = time.monotonic()
        self.events: list[tuple[float, str]] = []

    def log(self, event: str) -> None:
        """Add an event, now."""
        self.add(round(time.monotonic() - self.began, 1), event)

    def add(self, at: float, event: str) -> None:
        """Add an event that happened `at` seconds after the start of the round."""
        self.events.append((at, event))
        with self.path.open("a") as file:
            file.write(json.dumps({"at": at, "event": event}) + "\n")


@dataclass(frozen=True)
class Task:
    """One round that a family is to run. The same seed, number and faults give the same load and times."""

    seed: int
    number: int
    faults: tuple[str, ...]
    folder: Path
    """For evidence: small files that stay."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What `--set NAME=VALUE` says. A family documents the names that it reads."""

    @property
    def data(self) -> Path:
        """The folder for the data of this round's servers and services. It exists; any user may enter it.

        The runner removes it after a round without violations, and keeps it otherwise.
        """
        path = self.folder / "data"
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        return path

    def random(self, purpose: str = "") -> random.Random:
        """Return a generator that depends on the seed, the number and the purpose only."""
        return random.Random("/".join(filter(None, (str(self.seed), str(self.number), purpose))))

    def open_schedule(self) -> Schedule:
        """Begin the schedule, `SCHEDULE` in the folder."""
        return Schedule(self.folder / SCHEDULE)


@dataclass
class Result:
    """What one round counted. A round without violations has no lost and no doubled leads or mails."""

    leads: int = 0
    """Leads of this round that were accepted: a 201."""
    lost: int = 0
    doubled: int = 0
    mails_lost: int = 0
    mails_doubled: int = 0
    quiet_seconds: float | None = None
    """From the end of the last fault until nothing was pending. None: the round did not come so far."""
    injected: list[str] = field(default_factory=list)
    """The faults that happened. A fault of the task that is neither here nor in `skipped` is a violation."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Each fault that was not injected, and why."""
    violations: list[Violation] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    """Names of files in the task's folder, besides `schedule.jsonl`."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Whatever else was measured. It must be JSON."""

    def json(self) -> dict[str, Any]:
        return asdict(self)


RunRound = Callable[[Task], Awaitable[Result]]
# Starts the installation that the rounds of a session share, in this folder and with these options.
OpenSession = Callable[[Path, Mapping[str, str]], AbstractAsyncContextManager[RunRound]]


@dataclass(frozen=True)
class Family:
    """A family of faults. Each module in `families` has one, with the name FAMILY."""

    name: str
    """As the module: lower case, with underscores."""
    faults: Mapping[str, str]
    """Each fault, and in a few words what it does."""
    session: OpenSession
    """`alone(run_round)` where each round starts an installation of its own."""
    bound_seconds: float
    """A round that takes longer is ended, and is a violation. Includes the start of an installation."""
    missing: Callable[[str], str | None] = lambda _fault: None
    """Return what this machine lacks for a fault, or None."""
    most_faults: int = 1
    """A round gets between one and so many faults."""
    rounds_of_a_session: int = 1
    """So many rounds share an installation, unless one of them had a violation."""
    quick: Sequence[tuple[str, ...]] = ()
    """The faults of the rounds that CI runs, one round each. Default: one round, with the first fault."""

    quick_options: Mapping[str, str] = field(default_factory=dict)
    """Options of these rounds, such as a shorter outage."""

    @property
    def quick_rounds(self) -> list[tuple[str, ...]]:
        return list(self.quick) or [(next(iter(self.faults)),)]


def alone(run_round: RunRound) -> OpenSession:
    """Return the session of a family whose rounds share nothing."""

    @asynccontextmanager
    async def session(_folder: Path, _options: Mapping[str, str]) -> AsyncIterator[RunRound]:
        yield run_round

    return session
