"""Explains the traces of many rounds, and renders what was found."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.model.traces.parts import LeadTrace, Part, read_traces
from tests.model.traces.simulation import Explanation, TooManyRunsError


@dataclass
class Unexplained:
    """A part of a trace that no run of the model gives, and the longest run that begins like it."""

    trace: LeadTrace
    part: Part
    found: Explanation

    def __str__(self) -> str:
        return f"{self.part.name} of lead {self.trace.lead} ({self.trace.file}):\n{self.found}"


class Found(NamedTuple):
    """What some files added to a replay: the number of steps, and what is unexplained."""

    steps: int
    unexplained: list[Unexplained]


@dataclass
class Replay:
    """What became of the traces. Equal parts are explained once."""

    files: int = 0
    leads: set[str] = field(default_factory=set)
    parts: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    faults: Counter[int] = field(default_factory=Counter)  # how many faults the runs needed
    unexplained: list[Unexplained] = field(default_factory=list)
    undecided: int = 0  # parts with too many runs
    taken: dict[str, set[str]] = field(default_factory=dict)  # by part, the steps of the runs
    _known: dict[Part, Explanation | None] = field(default_factory=dict)

    @property
    def shapes(self) -> int:
        """The number of different parts."""
        return len(self._known)

    def add(self, paths: Iterable[Path]) -> "Found":
        """Explain all traces of these files. Return what these files added."""
        steps, before = self.steps, len(self.unexplained)
        for path in paths:
            self.files += 1
            for trace in read_traces(path):
                self.leads.add(trace.lead)
                for part in trace.parts:
                    self._add_part(trace, part)
        return Found(self.steps - steps, self.unexplained[before:])

    def _add_part(self, trace: LeadTrace, part: Part) -> None:
        if part not in self._known:
            try:
                self._known[part] = part.explain()
            except TooManyRunsError:
                self._known[part] = None
        found = self._known[part]
        self.parts[part.name] += 1
        self.steps += part.steps
        if found is None:
            self.undecided += 1
        elif found.unexplained:
            self.unexplained.append(Unexplained(trace, part, found))
        else:
            self.faults[found.faults] += 1
            self.taken.setdefault(part.name, set()).update(map(general, found.story))

    def line(self) -> str:
        """Return the numbers in one line."""
        return (
            f"{self.files} rounds, {len(self.leads):,} leads, {sum(self.parts.values()):,} parts"
            f" ({self.shapes:,} different), {self.steps:,} steps, {len(self.unexplained)} unexplained,"
            f" {self.undecided} undecided"
        )


def general(story: str) -> str:
    """Return a step without the names that do not matter: which process, offset, change or event."""
    story = re.sub(r"\b([Nn]otifier|[Pp]ersister|[Ss]ender) [12]\b", r"\1", story)
    story = re.sub(r"\bgateway [AB]\b", "a gateway", story)
    story = re.sub(r"\bGateway [AB]\b", "A gateway", story)
    story = re.sub(r" with key \w+ and body \w+", "", story)
    story = re.sub(r"offsets? \d+( to \d+)?", "an offset", story)
    return re.sub(r"\b(change|event) \d+", r"\1", story)
