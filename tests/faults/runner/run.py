"""Runs rounds until the budget is spent."""

import json
import os
import random
import shlex
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.family import SCHEDULE, Family, Result
from tests.faults.runner import record as records
from tests.faults.runner.choice import Counts, choose_family, choose_faults
from tests.faults.runner.record import Record
from tests.faults.runner.session import Session
from tests.faults.violations import Violation
from tests.support import patience

ROOT = Path(__file__).parents[3]
# Assumed for a round of a family that had none yet.
ROUND_SECONDS = 60.0
SHOWN_OF_A_KIND = 3
# How often to look whether an installation has started.
STARTED_SECONDS = 0.2


@dataclass(frozen=True)
class Plan:
    """What a run is to do."""

    seed: int = 1
    minutes: float = 0
    """Start no round that would end later. 0: no limit."""
    rounds: int = 0
    """0: no limit."""
    first: int = 0
    """The number of the first round. 0: the next of the record."""
    faults: tuple[str, ...] = ()
    """Only these, all of them in every round."""
    fixed: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    """Only these rounds: the faults of each, by family."""
    options: Mapping[str, str] = field(default_factory=dict)
    keep: bool = False
    parallel: int = 1
    """Sessions at the same time."""


@dataclass(frozen=True)
class Chosen:
    """The next round."""

    family: Family
    faults: tuple[str, ...]
    number: int


class Run:
    """One run. Its folder gets the evidence, its record a line for each round."""

    def __init__(
        self,
        families: Mapping[str, Family],
        plan: Plan,
        record: Record,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.families = families
        self.plan = plan
        self.record = record
        self.folder = folder
        self.violations = 0
        self.done: list[dict[str, Any]] = []
        self._say = say
        self._began = time.monotonic()
        self._name = ""
        self._starting = threading.Lock()
        self._lock = threading.RLock()
        # What follows is used under the lock.
        self._stopping = False
        self._sessions = 0
        self._chosen = 0
        self._number = (plan.first or record.next_number(plan.seed)) - 1
        self._in_progress: Counts = Counter()
        self._active = list[Session]()
        self._taken = set[str]()
        self._missing = {
            (name, fault): reason
            for name, family in families.items()
            for fault in family.faults
            if (reason := family.missing(fault))
        }
        self._available = {
            name: [fault for fault in family.faults if (name, fault) not in self._missing]
            for name, family in families.items()
        }
        self._fixed = {
            name: [here for faults in each if (here := self._at_hand(name, faults))]
            for name, each in plan.fixed.items()
        }

    def _at_hand(self, family: str, faults: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(fault for fault in faults if (family, fault) not in self._missing)

    def execute(self) -> None:
        """Run all rounds. Ctrl-C ends the rounds in progress, which are not recorded."""
        plan = self.plan
        self._name = self.record.begin(
            records.find_commit(),
            {
                "machine": records.describe_machine(),
                "seed": plan.seed,
                "budget": plan.minutes,
                "patience": patience.factor(),
                "parallel": plan.parallel,
                "faults": self._available,
                "options": dict(plan.options),
                "missing": {f"{name}: {fault}": reason for (name, fault), reason in self._missing.items()},
            },
        )
        for (name, fault), reason in self._missing.items():
            self._say(f"SKIPPED in this run: {name}, {fault}: needs {reason}")
        why = "failed"
        try:
            why = self._run_sessions()
        finally:
            minutes = round((time.monotonic() - self._began) / 60, 1)
            end = {"kind": "end", "run": self._name, "ended": records.timestamp()}
            self.record.add({**end, "minutes": minutes, "why": why})

    def _run_sessions(self) -> str:
        """Run sessions, so many at once, until no round is left; return why they ended."""
        why = "done"
        with ThreadPoolExecutor(self.plan.parallel) as pool:
            threads = [pool.submit(self._run_one_after_the_other) for _ in range(self.plan.parallel)]
            try:
                while wait(threads, timeout=1).not_done:
                    pass
            except KeyboardInterrupt:
                why = "interrupted"
                self._say("interrupted: the rounds so far are recorded")
            finally:
                with self._lock:
                    self._stopping = True
                    for session in self._active:
                        session.end_processes()
        for thread in threads:
            thread.result()
        return why

    def _run_one_after_the_other(self) -> None:
        chosen = self._choose(None)
        while chosen:
            chosen = self._run_session(chosen)

    def _run_session(self, first: Chosen) -> Chosen | None:
        """Run the rounds that share an installation; return the first that needs another one."""
        chosen: Chosen | None = first
        family, violated = first.family, False
        with self._open_session(family) as session:
            for number in range(family.rounds_of_a_session):
                if number and (not chosen or chosen.family is not family or not session.usable):
                    break
                assert chosen
                result = self._run_round(session, chosen)
                violated = violated or bool(result and result.violations)
                # Families take turns, except in a fixed plan.
                last = number + 1 == family.rounds_of_a_session
                chosen = self._choose(None if last and not self.plan.fixed else family)
                if violated:
                    break
            session.close()
        if not violated and not self.plan.keep:
            shutil.rmtree(session.folder / "installation", ignore_errors=True)
        return chosen

    @contextmanager
    def _open_session(self, family: Family) -> Iterator[Session]:
        with self._lock:
            self._sessions += 1
            session = Session(
                family, self.folder / f"{self._sessions:03}-{family.name}", self._options(family)
            )
        with session:
            with self._lock:
                self._active.append(session)
            try:
                yield session
            finally:
                with self._lock:
                    self._active.remove(session)

    def _run_round(self, session: Session, chosen: Chosen) -> Result | None:
        """Run and record a round; return its result, or None if the run was interrupted meanwhile."""
        family, faults, number = chosen.family, chosen.faults, chosen.number
        self._say(f"{family.name} {self.plan.seed}/{number}: {', '.join(faults)} ...")
        folder = session.folder / f"round-{number}"
        folder.mkdir(mode=0o755)
        with self._start_alone(folder) if session.fresh else nullcontext():
            began, at, load = time.monotonic(), records.timestamp(), os.getloadavg()[0]
            result = session.run(self.plan.seed, number, faults, folder)
        line = {
            "kind": "round",
            "run": self._name,
            "family": family.name,
            "seed": self.plan.seed,
            "number": number,
            "faults": list(faults),
            "options": self._options(family),
            "began": at,
            "seconds": round(time.monotonic() - began, 1),
            "load": [round(load, 1), round(os.getloadavg()[0], 1)],
            "folder": os.path.relpath(folder, ROOT),
            "reproduce": self._reproduction(chosen),
            **result.json(),
            "violations": [asdict(each) for each in _some_of_each_kind(result.violations)],
            "violation_kinds": dict(Counter(each.kind for each in result.violations)),
        }
        (folder / "result.json").write_text(json.dumps({**line, **result.json()}, indent=1, default=str))
        with self._lock:
            self._in_progress.subtract((family.name, fault) for fault in faults)
            if self._stopping:
                return None
            self.record.add(line)
            self.done.append(line)
            self._report(line, result)
        if not result.violations and not self.plan.keep:
            shutil.rmtree(folder / "data", ignore_errors=True)
        return result

    @contextmanager
    def _start_alone(self, folder: Path) -> Iterator[None]:
        """Let one installation start at a time. It has started when its round logs the first event.

        Three that start at once keep both processors busy for a minute, and their gateways answer too late.
        """
        self._starting.acquire()
        ended = threading.Event()

        def release() -> None:
            while not (folder / SCHEDULE).exists() and not ended.wait(STARTED_SECONDS):
                pass
            self._starting.release()

        threading.Thread(target=release, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _report(self, line: dict[str, Any], result: Result) -> None:
        self.violations += bool(result.violations)
        quiet = "not quiet" if result.quiet_seconds is None else f"quiet after {result.quiet_seconds:.0f} s"
        verdict = f"{len(result.violations)} VIOLATIONS" if result.violations else "no violation"
        left = self._left_seconds()
        self._say(
            f"  {result.leads} leads, {result.lost} lost, {result.doubled} doubled, {quiet}, {verdict}, in"
            f" {line['seconds']:.0f} s | {len(self.done)} rounds, {self.violations} with violations"
            + (f", {max(0, left) / 60:.0f} minutes left" if left is not None else "")
        )
        for fault, reason in result.skipped.items():
            self._say(f"  SKIPPED {fault}: {reason}")
        if result.violations:
            self._report_violations(line)

    def report_violations(self) -> None:
        """Say once more which rounds had violations: many rounds may have followed them."""
        for line in self.done:
            if line["violations"]:
                self._say(f"{line['family']} {line['seed']}/{line['number']}: {', '.join(line['faults'])}")
                self._report_violations(line)

    def _report_violations(self, line: dict[str, Any]) -> None:
        for kind, count in line["violation_kinds"].items():
            self._say(f"  {kind} x{count}")
            for each in line["violations"]:
                if each["kind"] == kind:
                    self._say(f"    {each['lead_id'] or ''} {each['detail']}".rstrip())
        self._say(f"  evidence: {line['folder']}\n  again:    {line['reproduce']}")

    def _choose(self, current: Family | None) -> Chosen | None:
        """Return the next round, of the current family if there is no better one; None ends the run."""
        plan = self.plan
        with self._lock:
            if self._stopping or (plan.rounds and self._chosen >= plan.rounds):
                return None
            if plan.fixed:
                if not (found := self._next_fixed(current)):
                    return None
                family, faults = found
            else:
                counts = self.record.counts() + self._in_progress
                family = choose_family(self.families, self._available, counts, self.record.spent(), current)
                rng = random.Random(f"{plan.seed}/{self._number + 1}/faults")
                faults = plan.faults or choose_faults(family, self._available[family.name], counts, rng)
            left = self._left_seconds()
            if left is not None and left < self._expected_seconds(family):
                return None
            self._number += 1
            self._chosen += 1
            self._in_progress.update((family.name, fault) for fault in faults)
            return Chosen(family, faults, self._number)

    def _options(self, family: Family) -> dict[str, str]:
        return {**(family.quick_options if self.plan.fixed else {}), **self.plan.options}

    def _next_fixed(self, current: Family | None) -> tuple[Family, tuple[str, ...]] | None:
        """Return a round of the plan: of the current family, or of the first that no session has."""
        names = [current.name] if current and self._fixed.get(current.name) else []
        names += [name for name, left in self._fixed.items() if left and name not in self._taken]
        if not names:
            return None
        self._taken.add(names[0])
        faults = self._fixed[names[0]].pop(0)
        return self.families[names[0]], faults

    def _left_seconds(self) -> float | None:
        return self._began + self.plan.minutes * 60 - time.monotonic() if self.plan.minutes else None

    def _expected_seconds(self, family: Family) -> float:
        """Return the mean time of this family's rounds."""
        took = [line["seconds"] for line in self.record.rounds if line["family"] == family.name]
        return sum(took) / len(took) if took else min(ROUND_SECONDS, family.bound_seconds)

    def _reproduction(self, chosen: Chosen) -> str:
        command = ["python", "-m", "tests.faults", "--family", chosen.family.name, "--rounds", "1"]
        command += ["--seed", str(self.plan.seed), "--first", str(chosen.number)]
        for fault in chosen.faults:
            command += ["--fault", fault]
        for name, value in self._options(chosen.family).items():
            command += ["--set", f"{name}={value}"]
        if patience.factor() != 1:
            command += ["--patience", f"{patience.factor():g}"]
        return shlex.join(command)


def _some_of_each_kind(violations: Sequence[Violation]) -> list[Violation]:
    """Return at most three of each kind: a round may have hundreds, and its evidence has them all."""
    seen: Counter[str] = Counter()
    some = list[Violation]()
    for each in violations:
        seen[each.kind] += 1
        if seen[each.kind] <= SHOWN_OF_A_KIND:
            some.append(each)
    return some
