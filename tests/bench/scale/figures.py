"""The figures of one size of the database, and which of them grow with it. No I/O."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# Flat: at the largest size at most this much more than at the smallest.
LIMIT: Final = 1.2
# Below this difference in milliseconds, the clock ticks of the processor's accounting decide the ratio.
RESOLUTION_MS: Final = 1.0


@dataclass(frozen=True)
class Figure:
    """One piece of work: the median of the database's processor time, and of the elapsed time, in ms.

    `linear` is work that reads every row: it is compared per million leads.
    """

    group: str
    name: str
    processor: float
    wall: float
    linear: bool = False


@dataclass(frozen=True)
class Growth:
    """The figures of one piece of work by number of leads, in ascending order of the numbers."""

    group: str
    name: str
    linear: bool
    processor: tuple[tuple[int, float], ...]
    wall: tuple[tuple[int, float], ...]

    @property
    def ratio(self) -> float:
        """Return the processor time of the largest size divided by that of the smallest.

        Linear work is compared per lead.
        """
        (few, small), (many, large) = self.processor[0], self.processor[-1]
        if self.linear:
            small, large = small / few, large / many
        return large / small if small else float("inf")

    @property
    def is_flat(self) -> bool:
        """True if the ratio is within the limit, or the difference is below the resolution."""
        (_, small), (_, large) = self.processor[0], self.processor[-1]
        return self.ratio <= LIMIT or (not self.linear and large - small <= RESOLUTION_MS)


def median_figure(
    group: str, name: str, times: Sequence[tuple[float, float]], *, linear: bool = False
) -> Figure:
    """Return the medians of (processor, wall) pairs in milliseconds."""
    processor, wall = zip(*times, strict=True)
    return Figure(group, name, statistics.median(processor), statistics.median(wall), linear)


def growth(measured: Mapping[int, Sequence[Figure]]) -> list[Growth]:
    """Return the growth of each piece of work that every size has, in the order of the smallest size."""
    by_leads = {
        leads: {(figure.group, figure.name): figure for figure in figures}
        for leads, figures in sorted(measured.items())
    }
    smallest = next(iter(by_leads.values()), {})
    return [
        Growth(
            *key,
            linear=figure.linear,
            processor=tuple((leads, figures[key].processor) for leads, figures in by_leads.items()),
            wall=tuple((leads, figures[key].wall) for leads, figures in by_leads.items()),
        )
        for key, figure in smallest.items()
        if all(key in figures for figures in by_leads.values())
    ]
