"""What happens in a schedule, and when: drawn from its seed before it starts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

# The last event begins before this time. Every fault ends by itself.
LENGTH_SECONDS: Final = 40.0
SHAPES: Final = ("lead",) * 12 + ("repeat",) * 3 + ("conflict", "poison", "null", "rejection", "refused")


@dataclass(frozen=True)
class Event:
    """One event: `what` names a method of `World`, which gets the numbers of `values`."""

    at: float
    what: str
    values: tuple[float, ...] = ()
    shapes: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = " ".join(f"{value:g}" for value in self.values)
        return f"{self.at:6.2f} s  {self.what} {values}{' '.join(self.shapes)}"


@dataclass(frozen=True)
class Plan:
    """A schedule: its seed, its members at the start, its brokers, and its events in order."""

    seed: int
    members: int
    nodes: int
    partitions: int
    batch_records: int
    events: Sequence[Event]

    def __str__(self) -> str:
        head = (
            f"seed {self.seed}: {self.members} members, {self.nodes} brokers, {self.partitions} partitions,"
            f" batches of {self.batch_records}"
        )
        return "\n".join([head, *(f"  {event}" for event in self.events)])


def seconds_between(rng: Random, least: float, most: float) -> float:
    """Return seconds between `least` and `most`, short ones more often than long ones."""
    return float(round(least * (most / least) ** rng.random(), 2))


def draw_plan(
    seed: int,
    shapes: Sequence[str] = SHAPES,
    draw_more: Callable[[Random, float], Event] | None = None,
) -> Plan:
    """Return the plan of a seed, with records of these shapes. `draw_more` draws half of the faults."""
    rng = Random(seed)
    members, nodes = rng.choice((1, 2, 2, 3)), rng.choice((1, 2, 3))
    events = [
        Event(_at(rng), "publish", shapes=tuple(rng.choice(shapes) for _ in range(rng.choice((1, 3, 8, 20)))))
        for _ in range(rng.randint(3, 8))
    ]
    events += [_draw_fault(rng, members, nodes, draw_more) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4)))]
    events.sort(key=lambda event: event.at)
    return Plan(seed, members, nodes, rng.choice((1, 2, 4)), rng.choice((1, 4, 2000)), events)


def _at(rng: Random) -> float:
    return round(rng.random() * LENGTH_SECONDS, 2)


def _draw_fault(
    rng: Random, members: int, nodes: int, draw_more: Callable[[Random, float], Event] | None
) -> Event:
    if draw_more and rng.random() < 0.5:
        return draw_more(rng, _at(rng))
    member, node = rng.randrange(members), rng.randrange(nodes)
    short, long = seconds_between(rng, 0.2, 20), seconds_between(rng, 3, 90)
    at = _at(rng)
    return rng.choice(
        (
            Event(at, "kill", (member, short)),
            Event(at, "kill", (member, 0.1)),
            Event(at, "restart", (member, short)),
            Event(at, "restart", (member, 0.1)),
            Event(at, "freeze", (member, short)),
            Event(at, "freeze", (member, long)),
            Event(at, "join", (short,)),
            Event(at, "cut", (member,)),
            Event(at, "stop_broker", (node, short, 0)),
            Event(at, "stop_broker", (node, long, rng.randrange(2))),
            Event(at, "stop_all_brokers", (long, rng.randrange(2))),
            Event(at, "silence_broker", (node, short)),
            Event(at, "silence_broker", (node, long)),
            Event(at, "load_groups", (short,)),
            Event(at, "refuse_commits", (short,)),
            Event(at, "slow_network", (short, rng.choice((5.0, 50.0, 500.0)))),
            Event(at, "stop_database", (short,)),
            Event(at, "stop_database", (long,)),
            Event(at, "hang_database", (short,)),
            Event(at, "hang_database", (long,)),
            Event(at, "lose_commit_reply"),
            Event(at, "fail_over_database", (seconds_between(rng, 0.2, 10), short)),
            Event(at, "lose_log_tail", (rng.randint(1, 20), seconds_between(rng, 4, 20))),
            Event(at, "expire_records", (rng.randint(1, 10),)),
        )
    )
