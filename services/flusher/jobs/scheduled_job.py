"""Runs jobs on schedule. At each tick of a job's schedule, one flusher runs the job.

After a failed or missed run, the job does not wait for the next tick. Each job's work is in its own module.
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
from runtime.tasks import seconds_to_next
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.store import Clock

POLL_SECONDS: Final = 1.0
# Short at first, because a restart is short; long for a dependency that is down for hours.
RETRY_BACKOFF: Final = Backoff(base_seconds=2, cap_seconds=60)


@dataclass(frozen=True)
class Report:
    """The result of a run. `details` is a JSON object with the results of the work.

    A run with a `reason` has failed. If `retry` is True, a failed run is repeated before the next tick.
    """

    details: dict[str, Any]
    reason: str | None = None
    retry: bool = True


@dataclass(frozen=True)
class LogEvents:
    """The log messages for a run that succeeded, a run that failed, and a run that could not begin."""

    succeeded: str = "Job run"
    failed: str = "Job run"
    not_run: str = "Job not run"


class ScheduledJob:
    """Runs `work` at every tick of a cron schedule, and when a run is requested."""

    def __init__(
        self,
        name: str,
        cron: str,
        runs: JobRuns,
        clock: Clock,
        work: Callable[[], Awaitable[Report]],
        *,
        backoff: Backoff = RETRY_BACKOFF,
        log_events: LogEvents | None = None,
    ) -> None:
        self._name = name
        self._cron = cron
        self._trigger = CronTrigger.from_crontab(cron, timezone=UTC)
        self._runs = runs
        self._clock = clock
        self._work = work
        self._backoff = backoff
        self._log = logger(name)
        self._events = log_events or LogEvents()
        self._attempt = 0
        # The first poll runs the job, unless a flusher has run this tick.
        self._due = self._polled_at = clock()

    async def run(self) -> None:
        """Check every second whether the job must run, until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(seconds_to_next(POLL_SECONDS))

    async def poll(self) -> None:
        """Run the job if it is due or requested.

        After a failed run, the job waits for a backoff, even if a run is requested.
        """
        now = self._clock()
        if now < self._polled_at:  # the clock was set back: do not postpone the next run by the same time
            self._due = min(self._due, self._trigger.get_next_fire_time(None, now) or self._due)
        self._polled_at = now
        try:
            # A requested run waits for the backoff too. A read-only database returns the request, but refuses
            # every run.
            is_early = self._clock() < self._due
            if is_early and (self._attempt or not await self._runs.is_job_requested(self._name)):
                return
            done = await self.tick()
        except Failure as failure:
            # One line for each outage, because readiness reports the database.
            if self._attempt == 0:
                self._log.warning(self._events.not_run, job=self._name, reason=failure.reason)
            done = False
        retry_at = self._clock() + timedelta(seconds=self._backoff.seconds(self._attempt))
        next_tick = self._trigger.get_next_fire_time(None, self._clock()) or retry_at
        self._attempt, self._due = (0, next_tick) if done else (self._attempt + 1, min(next_tick, retry_at))

    async def tick(self) -> bool:
        """Run the job once. Return False if the run failed and must be repeated.

        Does nothing and returns True if no run is needed: another flusher is running the job, or the run for
        the current tick of the schedule has already succeeded.
        """
        async with self._runs.job_lock(self._name) as acquired:
            if not acquired:
                return True
            next_run_at = self._trigger.get_next_fire_time(None, self._clock())
            run = await self._runs.begin_run(self._name, self._cron, next_run_at)
            if run is None:
                return True
            started = time.monotonic()
            report = await self._report()
            outcome = "failed" if report.reason else "succeeded"
            details = {**report.details, "reason": report.reason} if report.reason else report.details
            duration_ms = round((time.monotonic() - started) * 1000)
            await self._runs.end_run(self._name, run, outcome, duration_ms, details)
        event = self._events.failed if report.reason else self._events.succeeded
        times = {"duration_ms": duration_ms, "next_run_at": str(next_run_at)}
        self._log.info(event, job=self._name, run=run, outcome=outcome, **times, **details)
        return not (report.reason and report.retry)

    async def _report(self) -> Report:
        try:
            return await self._work()
        except Exception as error:  # noqa: BLE001 - a bug is recorded with its run
            return failed_report(self._name, error)


def failed_report(job: str, error: Exception) -> Report:
    """Return the report of a run that raised `error`. An unexpected error is logged and counted as a bug."""
    if isinstance(error, Failure):
        return Report({}, error.reason)
    metrics.BUGS.inc()
    logger(job).error("unexpected error in a job", job=job, exc_info=error)
    return Report({}, Reason.BUG.format(exception=type(error).__name__))
