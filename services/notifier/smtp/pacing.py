"""Keeps the mails of one process to the rate that the provider takes. Knows no SMTP and no database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from runtime import metrics
from runtime.failures import DependencyUnavailable
from services.notifier.batch_plan import Key
from services.notifier.smtp.outcome import RATE_LIMIT, Outcome, Verdict
from services.notifier.smtp.token_bucket import TokenBucket

# A longer wait pauses the stage: readiness says why, and a batch is never in hand for long.
PATIENCE_SECONDS: Final = 10.0
# A rate-limit reply that so often in a row came to one mail, while others passed, is that mail's.
REPLIES_TO_ONE_MAIL: Final = 5


class Pacing:
    """Says when the next mail may be started, and learns from what became of it."""

    def __init__(self, bucket: TokenBucket, stopping: asyncio.Event) -> None:
        self._bucket = bucket
        self._stopping = stopping
        self._turn = asyncio.Lock()
        self._last: Key | None = None  # the mail that met the last rate limit
        self._in_a_row = 0
        self._others_passed = False
        metrics.MAIL_RATE.set(bucket.rate)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a mail may be started, or the service stops; nobody else has a turn meanwhile.

        Raises `DependencyUnavailable` where that takes long.
        """
        async with self._turn:
            while (seconds := self._bucket.wait_seconds()) > 0 and not self._stopping.is_set():
                if seconds > PATIENCE_SECONDS:
                    raise DependencyUnavailable(
                        "smtp", f"{RATE_LIMIT}: {60 * self._bucket.rate:.2g} mails a minute"
                    )
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), seconds)
            yield

    def start(self) -> float:
        """Take the token of this turn; return when."""
        return self._bucket.take()

    def learn(self, key: Key, outcome: Outcome, started_at: float) -> None:
        """Take in what became of a mail."""
        if outcome.verdict is Verdict.THROTTLED:
            metrics.MAILS_THROTTLED.inc()
            self._bucket.throttled(started_at)
            if key != self._last:
                self._last, self._in_a_row, self._others_passed = key, 0, False
            self._in_a_row += 1
        elif outcome.verdict is Verdict.SENT:
            self._bucket.accepted()
            self._others_passed = True
        metrics.MAIL_RATE.set(self._bucket.rate)

    def is_of_one_mail(self, key: Key) -> bool:
        """Return True where a rate limit comes to this mail only, again and again."""
        return key == self._last and self._in_a_row >= REPLIES_TO_ONE_MAIL and self._others_passed
