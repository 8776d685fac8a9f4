"""Compares two figures, measured in turns so that both see the same state of the machine."""

import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

Run = Callable[[], Awaitable[float]]
Figures = dict[str, list[float]]


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
    """One figure per round for FASTCore and the reference. The ratio is the median of the rounds' ratios."""

    name: str
    against: str
    unit: str
    ours: list[float]
    reference: list[float]
    limit: Limit

    @property
    def ratios(self) -> list[float]:
        return [ours / other for ours, other in zip(self.ours, self.reference, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def holds(self) -> bool:
        return self.limit.holds(self.ratio)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "against": self.against,
            "unit": self.unit,
            "ours": round(statistics.median(self.ours), 3),
            "reference": round(statistics.median(self.reference), 3),
            "ratio": round(self.ratio, 3),
            "lowest": round(min(self.ratios), 3),
            "highest": round(max(self.ratios), 3),
            "rounds": len(self.ours),
            "limit": str(self.limit),
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Curve:
    """A curve: the x and y values of each line."""

    name: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


async def in_turns(contenders: Mapping[str, Run], rounds: int) -> Figures:
    """Run each contender once per round, in alternating order; return one figure per round."""
    figures: Figures = {name: [] for name in contenders}
    for number in range(rounds):
        order = sorted(contenders, reverse=number % 2 == 1)
        for name in order:
            figures[name].append(await contenders[name]())
    return figures
