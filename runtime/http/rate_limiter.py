"""A sliding-window rate limiter, and the network under which a client's hits are counted.

The in-memory storage of the package `limits` 5.8 is not used. In a test it never removed a key: all of 50,001
keys were still there after they had expired. Also, a thread walks all keys every 10 ms.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final
from uuid import UUID

_IPV6_HOST_PREFIX: Final = 64


class RateLimiter:
    """Allows at most `limit` hits per key within `seconds`. Times are monotonic seconds.

    A limit of 0 allows everything. At most `max_keys` keys are remembered, so that memory is bounded. A
    further key replaces the key that has been unused for the longest time. So a client that floods the server
    keeps its key, and stays limited.
    """

    def __init__(self, limit: int, seconds: float, max_keys: int = 10_000) -> None:
        self.limit = limit
        self.seconds = seconds
        self._max_keys = max_keys
        # By key: the item of each hit and the time of the hit, the oldest first.
        self._hits: OrderedDict[str, dict[object, float]] = OrderedDict()
        self.on_hit: Callable[[str, UUID | None], None] | None = None
        """Called with the key and the item of each hit that `allow` counts."""

    def allow(self, key: str, now: float, item: UUID | None = None, limit: int | None = None) -> bool:
        """Count a hit and return True, or return False if the window is full. A rejected hit is not counted.

        Hits with the same `item` (a lead's id) count once, so a client may send the same lead again. `limit`
        replaces the limiter's own limit for this key.
        """
        limit = self.limit if limit is None else limit
        if not limit:
            return True
        hits = self._hits_within(key, now)
        if item is not None and item in hits:
            return True
        if len(hits) >= limit:
            return False
        hits[object() if item is None else item] = now
        if self.on_hit:
            self.on_hit(key, item)
        return True

    def record(self, key: str, now: float, item: UUID | None = None) -> None:
        """Count a hit that another process has allowed, even beyond the limit, without a call of `on_hit`."""
        hits = self._hits_within(key, now)
        hits.setdefault(object() if item is None else item, now)

    def _hits_within(self, key: str, now: float) -> dict[object, float]:
        """Return the hits of a key that count, and note that the key was used."""
        hits = self._hits.setdefault(key, {})
        while hits and hits[oldest := next(iter(hits))] <= now - self.seconds:
            del hits[oldest]
        self._hits.move_to_end(key)
        if len(self._hits) > self._max_keys:
            self._hits.popitem(last=False)
        return hits

    def remaining(self, key: str) -> int:
        """Return how many more hits the key may have, as counted by the last `allow` for the key.

        Only the limiter's own limit counts, not a `limit` that was passed to `allow`.
        """
        return max(0, self.limit - len(self._hits.get(key, ())))

    def seconds_until_reset(self, key: str, now: float) -> float:
        """Return the seconds until the key's oldest hit no longer counts, or 0 if there is no hit."""
        hits = self._hits.get(key)
        return max(0.0, next(iter(hits.values())) + self.seconds - now) if hits else 0.0


def network_of(address: str) -> str | None:
    """Return the network under which a client's hits are counted, or None if `address` is no IP address.

    One host may own a whole IPv6 /64, so all of its addresses share one count. An IPv4-mapped IPv6 address
    counts as its IPv4 address.
    """
    try:
        parsed = ip_address(address.strip())
    except ValueError:
        return None
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _IPV6_HOST_PREFIX), strict=False))
