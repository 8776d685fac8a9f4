"""Counting per key over a moving window. What follows from a count is decided elsewhere.

Own code, because the memory of `limits` 5.8 keeps every key it ever saw (50,001 of 50,001 after
their expiry) and walks all of them in a thread every 10 ms.
"""

from bisect import bisect_right
from collections import OrderedDict
from uuid import UUID


class Window:
    """At most `limit` hits per key within `seconds`. Times are monotonic seconds; a limit of 0 is none."""

    def __init__(self, limit: int, seconds: float, max_keys: int = 10_000) -> None:
        self.limit = limit
        self.seconds = seconds
        self._max_keys = max_keys
        self._hits: OrderedDict[str, list[tuple[float, UUID | None]]] = OrderedDict()

    def hit(self, key: str, now: float, what: UUID | None = None) -> bool:
        """Count one; return False where the window is full. What is refused is not counted.

        `what` is counted once, however often it comes: a site that repeats a lead floods nobody.
        """
        if not self.limit:
            return True
        hits = self._hits.setdefault(key, [])
        del hits[: bisect_right(hits, now - self.seconds, key=_at)]
        known = what is not None and any(what == other for _, other in hits)
        within = known or len(hits) < self.limit
        if within and not known:
            hits.append((now, what))
        # The key that was quiet for longest is forgotten first: memory stays bounded, and whoever
        # floods stays remembered.
        self._hits.move_to_end(key)
        if len(self._hits) > self._max_keys:
            self._hits.popitem(last=False)
        return within

    def left(self, key: str) -> int:
        """Return how many more hits the window takes now."""
        return max(0, self.limit - len(self._hits.get(key, ())))

    def resets_in(self, key: str, now: float) -> float:
        """Return the seconds until the window takes one hit more than it does now."""
        hits = self._hits.get(key)
        return max(0.0, _at(hits[0]) + self.seconds - now) if hits else 0.0


def _at(hit: tuple[float, UUID | None]) -> float:
    return hit[0]
