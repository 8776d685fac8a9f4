"""When a failed delivery is sent again, and how long a failing destination is paused. No I/O."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

DEFAULT_WAITS_SECONDS: Final = "5,300,1800,7200,18000,36000,50400,72000,86400"
"""The waits before the retries, as Standard Webhooks 1.0 suggests: about three days in total."""
JITTER: Final = 0.2
MAX_RETRY_AFTER: Final = timedelta(hours=24)
FAILURES_BEFORE_PAUSE: Final = 5
RATE_LIMIT_PAUSE: Final = timedelta(seconds=30)
"""The pause after a 429 without `Retry-After`."""
_FIRST_PAUSE: Final = timedelta(seconds=30)
_LONGEST_PAUSE: Final = timedelta(minutes=10)
_WAITS_MAX: Final = 50
_WAIT_SECONDS_MAX: Final = 7 * 86_400


def parse_waits(text: str) -> tuple[timedelta, ...]:
    """Return the waits in a comma-separated list of seconds.

    Raises `ValueError` unless there are 1 to 50 waits, each from 1 s to 7 days.
    """
    try:
        seconds = [float(part) for part in text.split(",")]
    except ValueError:
        seconds = []
    if not 1 <= len(seconds) <= _WAITS_MAX or not all(1 <= each <= _WAIT_SECONDS_MAX for each in seconds):
        raise ValueError("must be 1 to 50 numbers with commas between them: seconds, each from 1 to 604800")
    return tuple(timedelta(seconds=each) for each in seconds)


class RetrySchedule:
    """The waits before the retries of a delivery. After the last retry, the delivery is dead."""

    def __init__(self, waits: Sequence[timedelta]) -> None:
        self.waits = tuple(waits)

    def wait(self, retries: int, rng: random.Random) -> timedelta | None:
        """Return the wait before the next retry of a delivery, or None if no retry is left.

        `retries` is the number of its retries so far. The wait is up to 20 % longer than scheduled, so that
        deliveries that failed together are not all retried at the same time.
        """
        if retries >= len(self.waits):
            return None
        return self.waits[retries] * (1 + JITTER * rng.random())


def pause(failures: int, rng: random.Random) -> timedelta | None:
    """Return how long a destination is paused after `failures` failures in a row, or None for no pause.

    After each pause, one delivery is sent as a probe. The pause doubles with each failed probe, from 30 s to
    10 min. A random part of up to 20 % is added.
    """
    if failures < FAILURES_BEFORE_PAUSE:
        return None
    doubled = _FIRST_PAUSE * (1 << min(failures - FAILURES_BEFORE_PAUSE, 10))
    return min(doubled, _LONGEST_PAUSE) * (1 + JITTER * rng.random())
