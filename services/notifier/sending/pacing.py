"""Limits the rate of one process's mails to the rate that the provider accepts.

Knows no SMTP and no database.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from runtime import metrics
from runtime.failures import DependencyUnavailable
from services.notifier.deliveries import Key
from services.notifier.sending.token_bucket import TokenBucket
from services.notifier.smtp.outcome import RATE_LIMIT, MailOutcome, MailStatus

# A longer wait pauses the stage instead. Readiness then shows the reason, and no batch takes long.
MAX_WAIT_SECONDS: Final = 10.0
# If one mail gets this many rate-limit replies in a row while other mails pass, the limit is that mail's.
REPLIES_TO_ONE_MAIL: Final = 5


class Pacing:
    """Decides when the next mail may start, and adapts the rate to the outcomes of mails."""

    def __init__(self, bucket: TokenBucket, stopping: asyncio.Event) -> None:
        self._bucket = bucket
        self._stopping = stopping
        self._lock = asyncio.Lock()
        self._last_limited: Key | None = None  # the mail that got the last rate-limit reply
        self._replies_in_a_row = 0
        self._others_passed = False
        metrics.MAIL_RATE.set(bucket.rate)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until a mail may start or the service stops. Only one caller at a time is in the context.

        Raises `DependencyUnavailable` if the wait would exceed `MAX_WAIT_SECONDS`.
        """
        async with self._lock:
            while (seconds := self._bucket.wait_seconds()) > 0 and not self._stopping.is_set():
                if seconds > MAX_WAIT_SECONDS:
                    raise DependencyUnavailable(
                        "smtp", f"{RATE_LIMIT}: {60 * self._bucket.rate:.2g} mails a minute"
                    )
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), seconds)
            yield

    def start(self) -> float:
        """Take a token from the token bucket for the mail that starts now. Call this method within `slot`.

        Returns the time at which the mail starts: the argument `started_at` of `record_outcome`.
        """
        return self._bucket.take()

    def record_outcome(self, key: Key, outcome: MailOutcome, started_at: float) -> None:
        """Adapt the rate to the outcome of a mail."""
        if outcome.status is MailStatus.THROTTLED:
            metrics.MAILS_THROTTLED.inc()
            self._bucket.throttled(started_at)
            if key != self._last_limited:
                self._last_limited, self._replies_in_a_row, self._others_passed = key, 0, False
            self._replies_in_a_row += 1
        elif outcome.status is MailStatus.SENT:
            self._bucket.accepted()
            self._others_passed = True
        metrics.MAIL_RATE.set(self._bucket.rate)

    def is_limit_of_one_mail(self, key: Key) -> bool:
        """Return True if this mail repeatedly gets rate-limit replies while other mails are accepted."""
        return (
            key == self._last_limited
            and self._replies_in_a_row >= REPLIES_TO_ONE_MAIL
            and self._others_passed
        )
