"""A fault that was found in the product, put back: what is patched, and what leads to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.schedules.plan import Event, Plan


@dataclass(frozen=True)
class Broken:
    """One fault: what is patched, the events that lead to it, and words of the violation that shows it.

    `seeds` are tried in turn: one of them must find it.
    """

    patches: tuple[tuple[Any, str, Any], ...]
    events: Sequence[Event]
    shows: str
    members: int = 2
    partitions: int = 2
    seeds: Sequence[int] = (1, 2, 3)
    stage: str = "persister"
    batch_records: int = 2000
    nodes: int = 1

    def plan(self, seed: int) -> Plan:
        """Return the schedule with these events."""
        events = sorted(self.events, key=lambda event: event.at)
        return Plan(seed, self.members, self.nodes, self.partitions, self.batch_records, events)
