"""A job by the clock: once a tick over all flushers, recorded in `scheduled_job`, made up where missed.

What a job does is its own module's part. The replay queue's job is `loop`'s, for it also drains.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Final

from apscheduler.triggers.cron import CronTrigger

from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import Backoff, Failure
from runtime.logs import logger
from services.flusher.retries.retry_claims import RetryClaims
from services.flusher.store import Clock

POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Report:
    """What a run did, as JSON for its record; `reason` says why it is to be tried again."""

    details: dict[str, Any]
    reason: str | None = None


class Job:
    """Runs `work` at every tick, and when an admin wants it. An outage is tried again, with a backoff."""

    def __init__(
        self, name: str, cron: str, claims: RetryClaims, clock: Clock, work: Callable[[], Awaitable[Report]]
    ) -> None:
        self._name = name
        self._cron = cron
        self._trigger = CronTrigger.from_crontab(cron, timezone=UTC)
        self._claims = claims
        self._clock = clock
        self._work = work
        # Prompt where a restart was short, gentle with what is away for hours.
        self._backoff = Backoff(base_seconds=2, cap_seconds=60)
        self._log = logger(name)

    async def run(self) -> None:
        """Run until cancelled: now, where nobody ran this tick, then by the clock."""
        attempt, due = 0, self._clock()
        while True:
            # A clock that was set back must not put the next run off by as much.
            due = min(due, self._trigger.get_next_fire_time(None, self._clock()) or due)
            try:
                if self._clock() >= due or await self._claims.is_job_requested(self._name):
                    done = await self.tick()
                    retry_at = self._clock() + timedelta(seconds=self._backoff.seconds(attempt))
                    upcoming = self._trigger.get_next_fire_time(None, self._clock()) or retry_at
                    attempt, due = (0, upcoming) if done else (attempt + 1, min(upcoming, retry_at))
            except Failure as failure:
                self._log.warning("Job not run", job=self._name, reason=failure.reason)
            await asyncio.sleep(POLL_SECONDS)

    async def tick(self) -> bool:
        """Run once, unless another flusher has this tick; return False where it is to be tried again."""
        async with self._claims.job_lock(self._name) as mine:
            if not mine:
                return True
            upcoming = self._trigger.get_next_fire_time(None, self._clock())
            runs = await self._claims.begin_run(self._name, self._cron, upcoming)
            if runs is None:
                return True
            started = time.monotonic()
            report = await self._report()
            outcome = "failed" if report.reason else "succeeded"
            details = {**report.details, "reason": report.reason} if report.reason else report.details
            duration_ms = round((time.monotonic() - started) * 1000)
            await self._claims.end_run(self._name, runs, outcome, duration_ms, details)
        self._log.info("Job run", job=self._name, outcome=outcome, duration_ms=duration_ms, **details)
        return outcome == "succeeded"

    async def _report(self) -> Report:
        try:
            return await self._work()
        except Failure as failure:
            return Report({}, failure.reason)
        except Exception as error:  # noqa: BLE001 - a bug is recorded with its run
            metrics.BUGS.inc()
            self._log.error("unexpected error in a job", job=self._name, exc_info=True)
            return Report({}, Reason.BUG.format(exception=type(error).__name__))
