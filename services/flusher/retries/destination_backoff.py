"""The backoff of each destination that took nothing at the last try. No I/O, no decision about rows."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runtime.failures import Backoff
from services.flusher.retries.retry_rules import Destination

# A destination that nobody tried for so long after its rest has nothing to send any more.
FORGET_SECONDS: Final = 60.0


@dataclass
class _Rest:
    attempt: int
    until: float
    reason: str


class DestinationBackoff:
    """A backoff for each destination, so that one which is away costs the others nothing."""

    def __init__(self, backoff: Backoff, timer: Callable[[], float] = time.monotonic) -> None:
        self._backoff = backoff
        self._timer = timer
        self._rests: dict[Destination, _Rest] = {}

    def failed(self, to: Destination, reason: str) -> None:
        """Let a destination rest, longer each time."""
        attempt = self._rests[to].attempt + 1 if to in self._rests else 0
        self._rests[to] = _Rest(attempt, self._timer() + self._backoff.seconds(attempt), reason)

    def passed(self, to: Destination) -> None:
        """Forget that a destination failed."""
        self._rests.pop(to, None)

    def failed_last(self, to: Destination) -> bool:
        """Return True where the last try failed."""
        return to in self._rests

    def is_backing_off(self, to: Destination) -> bool:
        """Return True where it is too early to try again."""
        return to in self._rests and self._timer() < self._rests[to].until

    def backing_off(self) -> list[Destination]:
        """Return the destinations that it is too early to try again."""
        return [to for to in self._rests if self.is_backing_off(to)]

    def reasons(self) -> dict[Destination, str]:
        """Return what is wrong with each destination whose last try failed, as far as anybody still tries."""
        now = self._timer()
        self._rests = {to: rest for to, rest in self._rests.items() if now < rest.until + FORGET_SECONDS}
        return {to: rest.reason for to, rest in self._rests.items()}
