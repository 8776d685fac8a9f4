"""The backoffs of targets that failed. A target gets no rows until its backoff ends. No I/O."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runtime.failures import Backoff
from services.flusher.retries.retry_rules import RetryTarget

# If nothing was sent to a target for this time after its backoff, it has no rows any more.
FORGET_SECONDS: Final = 60.0


@dataclass
class _State:
    attempt: int
    until: float
    reason: str


class TargetBackoff:
    """One backoff for each target, so that an unavailable target does not delay the others."""

    def __init__(self, backoff: Backoff, timer: Callable[[], float] = time.monotonic) -> None:
        self._backoff = backoff
        self._timer = timer
        self._states: dict[RetryTarget, _State] = {}

    def record_failure(self, to: RetryTarget, reason: str) -> None:
        """Start a backoff of a target. The backoff grows with each failure until a send succeeds."""
        attempt = self._states[to].attempt + 1 if to in self._states else 0
        self._states[to] = _State(attempt, self._timer() + self._backoff.seconds(attempt), reason)

    def record_success(self, to: RetryTarget) -> None:
        """Reset the backoff of a target."""
        self._states.pop(to, None)

    def failed_last(self, to: RetryTarget) -> bool:
        """Return True if the last attempt to send to this target failed."""
        return to in self._states

    def is_backing_off(self, to: RetryTarget) -> bool:
        """Return True while the backoff of this target lasts."""
        return to in self._states and self._timer() < self._states[to].until

    def backing_off(self) -> list[RetryTarget]:
        """Return the targets whose backoff has not ended."""
        return [to for to in self._states if self.is_backing_off(to)]

    def reasons(self) -> dict[RetryTarget, str]:
        """Return the targets whose last send failed, each with the reason.

        Leaves out a target if nothing was sent to it for `FORGET_SECONDS` after its backoff.
        """
        now = self._timer()
        self._states = {to: state for to, state in self._states.items() if now < state.until + FORGET_SECONDS}
        return {to: state.reason for to, state in self._states.items()}
