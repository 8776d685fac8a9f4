"""How long the oldest record of a partition has waited, told from looks at its offsets. No I/O, no clock.

Kafka does not say how old a record is that nobody reads. But what lay before the end at one look is taken
once the group has committed as far: until then, that look's time is a bound. A restart begins afresh.
"""

from typing import Final

# A look is kept for each new end, so a group that stands still keeps one more each time: thinned out beyond.
MAX_LOOKS: Final = 256


class Waiting:
    """Remembers, per partition of a group, when which end was first seen. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._looks = dict[tuple[str, object], list[tuple[float, int]]]()

    def seconds(self, group: str, partition: object, *, committed: int, end: int, now: float) -> float:
        """Take a look; return how long the first record behind `committed` has been known to wait."""
        looks = [look for look in self._looks.get((group, partition), []) if committed < look[1] <= end]
        if end > committed and (not looks or looks[-1][1] < end):
            looks.append((now, end))
        if len(looks) > MAX_LOOKS:
            del looks[1:-1:2]
        self._looks[group, partition] = looks
        return now - looks[0][0] if looks else 0.0
