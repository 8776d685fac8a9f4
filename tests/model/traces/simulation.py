"""Finds a run of a model that gives exactly the observations of a trace. No I/O.

Several observers watch the installation: the website, the topics, the database, the mail server, the
destination. The order of one observer's observations is known; between observers no order is assumed. A step
of the model shows something to some observers, or to nobody (it is silent). So a position in a trace is one
number for each observer, and the search visits pairs of a state and a position: all runs at once, each pair
once, those first that show more with fewer faults.

A run explains a trace if it gives all observations, keeps every promise in each of its states, and ends at
rest: the trace was read when the installation was idle.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, NamedTuple

from tests.model.checker import Model, Step

Observations = tuple[tuple[str, tuple[str, ...]], ...]
"""Each observer with what it saw, in its order."""
Shown = tuple[tuple[str, str], ...]
View = Callable[[Any, Any], Shown]
"""Returns what a step shows, as (observer, observation), from the states before and after it."""
Position = tuple[int, ...]

_PAIRS_MAX: Final = 30_000


class _Node(NamedTuple):
    state: Any
    position: Position


@dataclass(frozen=True)
class Explanation:
    """A run that gives the whole trace, or as much of it as a run can give.

    `unexplained` is empty if the trace is explained. Otherwise it names what no run shows next. `story` has
    one sentence for each step of the run, `faults` is the number of its faults.
    """

    story: tuple[str, ...]
    faults: int
    unexplained: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{number}. {sentence}." for number, sentence in enumerate(self.story, start=1)]
        return "\n".join([*lines, *(f"unexplained step: {each}" for each in self.unexplained)])


class TooManyRunsError(Exception):
    """The search gave up after `_PAIRS_MAX` pairs: the trace is neither explained nor unexplained."""


def explain(model: Model, view: View, observations: Observations) -> Explanation:
    """Return a run of the model for these observations, one with few faults.

    Raises `TooManyRunsError`.
    """
    search = _Search(model, view, observations)
    found = search.run()
    return search.explanation(found) if found else search.longest()


class _Search:
    def __init__(self, model: Model, view: View, observations: Observations) -> None:
        self._model = model
        self._view = view
        self._indexes = {observer: at for at, (observer, _) in enumerate(observations)}
        self._expected = [seen for _, seen in observations]
        self._names = [observer for observer, _ in observations]
        self._always = [each.holds for each in model.properties if not each.at_rest]
        self._resting = [each.holds for each in model.properties if each.at_rest]
        self._kept: dict[Any, bool] = {}
        self._start = _Node(model.initial, (0,) * len(observations))
        self._parents: dict[_Node, tuple[_Node, str] | None] = {self._start: None}

    def run(self) -> _Node | None:
        end = tuple(len(each) for each in self._expected)
        budget, number = self._model.initial.faults, count()
        # A fault is tried where nothing else shows what comes next.
        waiting = [(0, 0, 0, next(number), self._start)]
        while waiting:
            _, _, steps, _, node = heapq.heappop(waiting)
            is_at_rest = node.position == end
            for step in self._model.steps(node.state):
                is_at_rest = is_at_rest and (step.fault or step.state == node.state)
                position = self._follow(node, step)
                if position is None:
                    continue
                following = _Node(step.state, position)
                if following in self._parents or not self._keeps(step.state):
                    continue
                self._parents[following] = (node, step.story)
                used, seen = budget - step.state.faults, sum(position)
                heapq.heappush(waiting, (-seen, used, steps + 1, next(number), following))
            if is_at_rest and all(holds(node.state) for holds in self._resting):
                return node
            if len(self._parents) > _PAIRS_MAX:
                raise TooManyRunsError
        return None

    def _follow(self, node: _Node, step: Step) -> Position | None:
        """Return the position after the step, or None if it shows something else than the trace has next."""
        shown = self._view(node.state, step.state)
        if not shown:
            return node.position
        position = list(node.position)
        for observer, observation in shown:
            index = self._indexes.get(observer)
            if index is None:
                return None
            at = position[index]
            if at == len(self._expected[index]) or self._expected[index][at] != observation:
                return None
            position[index] = at + 1
        return tuple(position)

    def _keeps(self, state: Any) -> bool:
        """Return True if the state keeps every promise that must always hold."""
        if state not in self._kept:
            self._kept[state] = all(holds(state) for holds in self._always)
        return self._kept[state]

    def explanation(self, node: _Node, unexplained: tuple[str, ...] = ()) -> Explanation:
        story, budget = list[str](), self._model.initial.faults
        faults, parent = budget - node.state.faults, self._parents[node]
        while parent:
            story.append(parent[1])
            parent = self._parents[parent[0]]
        return Explanation(tuple(reversed(story)), faults, unexplained)

    def longest(self) -> Explanation:
        """Return a run that gives as many observations as possible, and what is missing after it."""
        best = max(self._parents, key=lambda each: (sum(each.position), each.state.faults))
        missing = tuple(self._missing(best))
        if not missing:
            pending = sorted({step.story for step in self._model.steps(best.state) if not step.fault})
            missing = (
                f"nothing more was seen, and the model expects: {' or '.join(pending) or 'something else'}",
            )
        return self.explanation(best, missing)

    def _missing(self, node: _Node) -> Iterator[str]:
        for observer, at, expected in zip(self._names, node.position, self._expected, strict=True):
            if at < len(expected):
                yield f"{observer} saw `{expected[at]}`, as number {at + 1} of {len(expected)}"


def observations(seen: Mapping[str, list[str]]) -> Observations:
    """Return the observations in one form, so that equal traces are equal."""
    return tuple((observer, tuple(labels)) for observer, labels in sorted(seen.items()))
