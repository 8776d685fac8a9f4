"""A token bucket that learns the provider's rate limit. No I/O; the clock is an argument.

The rate follows TCP's AIMD (additive increase, multiplicative decrease). Each accepted mail adds 0.02 mails a
second. A rate-limit reply reduces the rate by 30 %. The bucket holds one token, because providers count by
the second and refuse bursts.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

# Added to the rate for each accepted mail. While there is no limit, the rate doubles every 35 s. At a limit
# of 14 mails a second, the server refuses the first attempt for some 2 % of the mails; at 1 mail a second,
# for one in 15.
INCREASE_PER_SECOND: Final = 0.02
DECREASE: Final = 0.7
# Probe a quota that stays exhausted for hours once a minute.
FLOOR_PER_SECOND: Final = 1 / 60
# The first rate-limit reply refers to the number of mails that started within this time.
WINDOW_SECONDS: Final = 1.0


class TokenBucket:
    """Decides when the next mail may start.

    `rate` is in mails a second, at most `ceiling`. A ceiling of 0 means no ceiling: then the rate is infinite
    until the first rate-limit reply.
    """

    def __init__(self, ceiling: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._ceiling = ceiling or math.inf
        self._clock = clock
        self._next_at = 0.0
        self._slowed_at = -math.inf
        self._started = deque[float]()
        self.rate = self._ceiling

    def wait_seconds(self) -> float:
        """Return the seconds until a mail may start; 0 means now."""
        return max(0.0, self._next_at - self._clock())

    def take(self) -> float:
        """Use up the token for one mail. Return the time at which the mail starts, for `throttled`."""
        now = self._clock()
        self._next_at = max(now, self._next_at) + 1 / self.rate
        self._started.append(now)
        self._drop_old_starts(now)
        return now

    def accepted(self) -> None:
        """Increase the rate after an accepted mail."""
        self.rate = min(self._ceiling, self.rate + INCREASE_PER_SECOND)

    def throttled(self, started_at: float) -> None:
        """Reduce the rate after a rate-limit reply to a mail that started at `started_at`.

        Ignores replies to mails that started before the last reduction, so that a burst reduces the rate only
        once.
        """
        if started_at <= self._slowed_at:
            return
        now = self._clock()
        self._drop_old_starts(now)
        recent = max(1, len(self._started)) / WINDOW_SECONDS
        self.rate = max(FLOOR_PER_SECOND, DECREASE * min(self.rate, recent))
        self._slowed_at = now
        self._next_at = now + 1 / self.rate

    def _drop_old_starts(self, now: float) -> None:
        while self._started and self._started[0] < now - WINDOW_SECONDS:
            self._started.popleft()
