"""Compares two figures, measured in turns so that both see the same state of the machine."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tests.bench.bootstrap import Interval, median_interval, overlap
from tests.bench.machine import Conditions

Run = Callable[[], Awaitable[float]]
Figures = dict[str, list[float]]

# An interval that is wider than this share of its median is not reported as a ratio: 15 % to either side.
WIDEST: Final = 0.3
# The control: a contender in its second run of a block against its first one. Its interval must touch this.
SAME: Final[Interval] = (0.95, 1.05)


@dataclass(frozen=True)
class Limit:
    """The limit of a ratio."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, ratio: float) -> bool:
        return (self.at_least is None or ratio >= self.at_least) and (
            self.at_most is None or ratio <= self.at_most
        )

    def __str__(self) -> str:
        parts = [] if self.at_least is None else [f"at least {self.at_least:g}"]
        return ", ".join(parts + ([] if self.at_most is None else [f"at most {self.at_most:g}"]))


@dataclass(frozen=True)
class Result:
    """One figure per turn for FASTCore and the reference, in the order of `in_turns`.

    The ratio is the median of the turns' ratios. Something that is measured once has no interval.
    """

    name: str
    against: str
    unit: str
    ours: list[float]
    reference: list[float]
    limit: Limit
    conditions: Conditions | None = None

    @property
    def ratios(self) -> list[float]:
        return [ours / other for ours, other in zip(self.ours, self.reference, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @cached_property
    def interval(self) -> Interval | None:
        return median_interval(self.ratios) if len(self.ours) > 1 else None

    @cached_property
    def itself(self) -> Interval | None:
        """The control: the interval of the second run in each block against the first of that contender."""
        contenders = [self.ours] if self._against_a_constant else [self.ours, self.reference]
        repeats = [
            second / first
            for figures in contenders
            for first, second in zip(figures[::2], figures[1::2], strict=False)
        ]
        return median_interval(repeats) if repeats else None

    @property
    def _against_a_constant(self) -> bool:
        return len(set(self.reference)) == 1

    @property
    def too_noisy(self) -> str | None:
        """Return why the ratio may not be reported, or None."""
        if self.conditions and (disturbed := self.conditions.disturbed):
            return disturbed
        if self.interval is None or self.itself is None:
            return None
        low, high = self.interval
        # Against a constant the question is only on which side of it the interval is.
        if not self._against_a_constant and high - low > WIDEST * self.ratio:
            return f"the interval is {(high - low) / self.ratio:.0%} wide"
        if not overlap(self.itself, SAME):
            return f"a repetition differs: {self.itself[0]:.2f} to {self.itself[1]:.2f} of the first run"
        return None

    @property
    def verdict(self) -> str:
        """Return `held` or `falls short` if the whole interval says so, else `undecided` or `too noisy`."""
        if self.too_noisy:
            return "too noisy"
        if self.limit == Limit():
            return "no limit"
        held = {self.limit.holds(end) for end in self.interval or (self.ratio,)}
        return "undecided" if len(held) > 1 else "held" if True in held else "falls short"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "against": self.against,
            "unit": self.unit,
            "ours": round(statistics.median(self.ours), 3),
            "reference": round(statistics.median(self.reference), 3),
            "ratio": None if self.too_noisy else round(self.ratio, 3),
            "interval": _rounded(self.interval),
            "itself": _rounded(self.itself),
            "too_noisy": self.too_noisy,
            "turns": {"ours": self.ours, "reference": self.reference},
            "limit": str(self.limit),
            "verdict": self.verdict,
        }


def _rounded(interval: Interval | None) -> list[float] | None:
    return interval and [round(end, 3) for end in interval]


@dataclass(frozen=True)
class Curve:
    """A curve: the x and y values of each line."""

    name: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values is below: 0.99 for the p99."""
    return sorted(values)[int(len(values) * share)]


async def in_turns(contenders: Mapping[str, Run], turns: int) -> Figures:
    """Run each contender once per turn and return its figures.

    Every second turn is in the reverse order. So two turns are a block, A B B A, in which a steady change of
    the machine affects all contenders alike.
    """
    figures: Figures = {name: [] for name in contenders}
    for number in range(turns):
        for name in sorted(contenders, reverse=number % 2 == 1):
            figures[name].append(await contenders[name]())
    return figures
