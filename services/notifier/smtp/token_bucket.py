"""How fast mails may go: a token bucket that learns the provider's rate. No I/O; the clock is an argument.

The rule is TCP's (AIMD), counted in mails: each accepted mail adds 0.02 mails a second, a rate-limit reply
takes 30 %. The bucket holds one token, for providers count by the second and a burst is what they refuse.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

# Per accepted mail. Where the limit allows, the rate doubles every 35 s; at 14 a second some 2 % of the mails
# are sent twice, at 1 a second one in fifteen.
INCREASE_PER_SECOND: Final = 0.02
DECREASE: Final = 0.7
# So that a quota that is used up for hours is asked for once a minute.
FLOOR_PER_SECOND: Final = 1 / 60
# What was started within this time is the rate that a first rate-limit reply speaks of.
WINDOW_SECONDS: Final = 1.0


class TokenBucket:
    """Counts tokens. `rate` is in mails a second, infinite while nothing limits it."""

    def __init__(self, ceiling: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._ceiling = ceiling or math.inf
        self._clock = clock
        self._next_at = 0.0
        self._slowed_at = -math.inf
        self._started = deque[float]()
        self.rate = self._ceiling

    def wait_seconds(self) -> float:
        """Return how long until a mail may be started; 0: now."""
        return max(0.0, self._next_at - self._clock())

    def take(self) -> float:
        """Start a mail; return the time, which `throttled` wants back."""
        now = self._clock()
        self._next_at = max(now, self._next_at) + 1 / self.rate
        self._started.append(now)
        self._forget(now)
        return now

    def accepted(self) -> None:
        """Count an accepted mail."""
        self.rate = min(self._ceiling, self.rate + INCREASE_PER_SECOND)

    def throttled(self, started_at: float) -> None:
        """Slow down; one reply of a burst does, for the others were started before it came."""
        if started_at <= self._slowed_at:
            return
        now = self._clock()
        self._forget(now)
        recent = max(1, len(self._started)) / WINDOW_SECONDS
        self.rate = max(FLOOR_PER_SECOND, DECREASE * min(self.rate, recent))
        self._slowed_at = now
        self._next_at = now + 1 / self.rate

    def _forget(self, now: float) -> None:
        while self._started and self._started[0] < now - WINDOW_SECONDS:
            self._started.popleft()
