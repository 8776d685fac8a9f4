"""Explores a model exhaustively, breadth first, and finds the shortest counterexample. No I/O.

A model has one initial state and a function that returns every step from a state. States are tuples, so that
equal states are one. The checker visits each reachable state once and verifies

- the properties that hold in every state,
- the properties at rest: in a state in which only a fault could happen next,
- that rest can be reached from every state: nothing waits forever for something that never comes.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

COMES_TO_REST: Final = "comes to rest"


class Step(NamedTuple):
    """One step: what happens in plain English, and the state after it.

    A fault is a step that need not happen.
    """

    story: str
    state: Any
    fault: bool = False


@dataclass(frozen=True)
class Property:
    """A property that `promise` (a row's name in ARCHITECTURE.md) requires.

    `holds` returns True if a state fulfills it. `at_rest` limits it to the states at rest.
    """

    name: str
    promise: str
    holds: Callable[[Any], bool]
    at_rest: bool = False


@dataclass(frozen=True)
class Model:
    """A model: its bounds in words, its first state, its steps, and its properties, checked in order."""

    name: str
    bounds: str
    initial: Any
    steps: Callable[[Any], Iterable[Step]]
    properties: Sequence[Property]


@dataclass(frozen=True)
class Counterexample:
    """The shortest way to a state that breaks a property: one sentence for each step, and the state."""

    broken: str
    story: tuple[str, ...]
    state: Any

    def __str__(self) -> str:
        lines = [f"{number}. {sentence}." for number, sentence in enumerate(self.story, start=1)]
        return "\n".join([*lines, f"Broken: {self.broken}."])


@dataclass
class Exploration:
    """The result. `after` has each state's steps: the next state's number, and whether it is a fault."""

    states: list[Any] = field(default_factory=list)
    steps: int = 0
    at_rest: set[int] = field(default_factory=set)
    seconds: float = 0.0  # of processor time
    stories: set[str] = field(default_factory=set)  # of all steps
    counterexample: Counterexample | None = None
    after: list[list[tuple[int, bool]]] = field(default_factory=list)


def explore(model: Model) -> Exploration:
    """Visit every reachable state. Stops at the first counterexample, which is a shortest one."""
    began = time.process_time()
    found = Exploration(states=[model.initial])
    paths = _visit(model, found)
    if found.counterexample is None:
        found.counterexample = _find_stuck(found, paths)
    found.seconds = time.process_time() - began
    return found


def _visit(model: Model, found: Exploration) -> "_Paths":
    always = [each for each in model.properties if not each.at_rest]
    resting = [each for each in model.properties if each.at_rest]
    numbers, states = {model.initial: 0}, found.states
    paths = _Paths(model, found)
    for number, state in enumerate(states):  # grows while it is read
        is_at_rest, after = True, list[tuple[int, bool]]()
        for step in model.steps(state):
            found.steps += 1
            found.stories.add(step.story)
            following = numbers.setdefault(step.state, len(states))
            after.append((following, step.fault))
            is_at_rest = is_at_rest and (step.fault or following == number)
            if following < len(states):
                continue
            states.append(step.state)
            paths.parents.append(number)
            for each in always:
                if not each.holds(step.state):
                    found.counterexample = paths.counterexample(each.name, following)
                    return paths
        found.after.append(after)
        if not is_at_rest:
            continue
        found.at_rest.add(number)
        for each in resting:
            if not each.holds(state):
                found.counterexample = paths.counterexample(each.name, number)
                return paths
    return paths


class _Paths:
    """The step from which each state was found first, so that a shortest path becomes a story."""

    def __init__(self, model: Model, found: Exploration) -> None:
        self._model = model
        self._states = found.states
        self.parents = [0]

    def counterexample(self, broken: str, number: int) -> Counterexample:
        story, state = list[str](), self._states[number]
        while number:
            parent, target = self.parents[number], self._states[number]
            steps = self._model.steps(self._states[parent])
            story.append(next(step.story for step in steps if step.state == target))
            number = parent
        return Counterexample(broken, tuple(reversed(story)), state)


def _find_stuck(found: Exploration, paths: _Paths) -> Counterexample | None:
    """Return the way to the first state from which no state at rest can be reached without a fault."""
    before: list[list[int]] = [[] for _ in found.states]
    for number, after in enumerate(found.after):
        for following, fault in after:
            if not fault:
                before[following].append(number)
    can_rest, waiting = set(found.at_rest), list(found.at_rest)
    while waiting:
        for number in before[waiting.pop()]:
            if number not in can_rest:
                can_rest.add(number)
                waiting.append(number)
    stuck = next((number for number in range(len(found.states)) if number not in can_rest), None)
    return None if stuck is None else paths.counterexample(COMES_TO_REST, stuck)
