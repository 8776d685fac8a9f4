"""When a failed delivery is sent again, and how long a failing destination is paused. No I/O."""

import random
from datetime import timedelta
from typing import Final

RETRY_WAITS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""The waits before the retries, as Standard Webhooks 1.0 suggests: about three days in total."""
JITTER: Final = 0.2
MAX_RETRY_AFTER: Final = timedelta(hours=24)
FAILURES_BEFORE_PAUSE: Final = 5
RATE_LIMIT_PAUSE: Final = timedelta(seconds=30)
"""The pause after a 429 without `Retry-After`."""
_FIRST_PAUSE: Final = timedelta(seconds=30)
_LONGEST_PAUSE: Final = timedelta(minutes=10)


def retry_wait(retries: int, rng: random.Random) -> timedelta | None:
    """Return the wait before the next retry of a delivery, or None if no retry is left.

    `retries` is the number of its retries so far. The wait is up to 20 % longer than scheduled, so that
    deliveries that failed together are not all retried at the same time.
    """
    if retries >= len(RETRY_WAITS):
        return None
    return RETRY_WAITS[retries] * (1 + JITTER * rng.random())


def pause(failures: int, rng: random.Random) -> timedelta | None:
    """Return how long a destination is paused after `failures` failures in a row, or None for no pause.

    After each pause, one delivery is sent as a probe. With each failed probe the pause doubles, from 30 s to
    10 min. A random part of up to 20 % is added to it.
    """
    if failures < FAILURES_BEFORE_PAUSE:
        return None
    doubled = _FIRST_PAUSE * (1 << min(failures - FAILURES_BEFORE_PAUSE, 10))
    return min(doubled, _LONGEST_PAUSE) * (1 + JITTER * rng.random())
