"""Sends due rows on schedule, and requested rows a second or two after an admin's request."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from runtime.failures import Backoff, DependencyUnavailable, Failure
from runtime.health import Health
from runtime.logs import logger
from runtime.tasks import seconds_to_next
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import (
    POLL_SECONDS,
    RETRY_BACKOFF,
    LogEvents,
    Report,
    ScheduledJob,
    failed_report,
)
from services.flusher.publisher import ReplayPublisher
from services.flusher.retries.retry_claims import RetryClaims
from services.flusher.retries.target_sender import TargetSender
from services.flusher.store import Clock

JOB: Final = "replay_queue"
LOG_EVENTS: Final = LogEvents("Queue flushed", "Queue not flushed", "Queue not flushed")
# A chunk in progress ends within its sends (10 s) and its commit.
DRAIN_SECONDS: Final = 20.0


def utc_now() -> datetime:
    """Return the current time in UTC.

    The service reads the time of day only here, so that tests can replace the clock.
    """
    return datetime.now(UTC)


class RetryScheduler:
    """Runs the job that sends due rows. Polls for the rows and replays that an admin requests."""

    def __init__(
        self,
        claims: RetryClaims,
        runs: JobRuns,
        publisher: ReplayPublisher,
        health: Health,
        cron: str,
        clock: Clock = utc_now,
        backoff: Backoff | None = None,
    ) -> None:
        self._publisher = publisher
        self._pending = runs.pending
        self._health = health
        self._log = logger("replay")
        self._stopping = asyncio.Event()
        self._sender = TargetSender(claims, publisher, clock, backoff or RETRY_BACKOFF, self._stopping)
        self.job = ScheduledJob(
            JOB, cron, runs, clock, self._send_due, backoff=backoff or Backoff(), log_events=LOG_EVENTS
        )
        self._bug = ""  # of the last run
        self._in_progress = set[asyncio.Task[Any]]()

    async def run(self) -> None:
        """Run three concurrent loops until cancelled or drained. Each one repeats every second.

        The first loop runs the scheduled job if it is due. The second sends requested rows. The third sends a
        chunk of each running replay.
        """
        async with asyncio.TaskGroup() as group:
            for poll in (self.job.poll, self.send_requested, self.send_replays):
                group.create_task(self._repeat(poll))

    async def drain(self) -> None:
        """Start no more chunks. Wait at most `DRAIN_SECONDS` until the chunks in progress end.

        If a chunk does not end in time, its rows are sent again later.
        """
        self._stopping.set()
        if self._in_progress:
            await asyncio.wait(set(self._in_progress), timeout=DRAIN_SECONDS)

    async def poll(self) -> None:
        """Send requested rows and a chunk of each running replay, once."""
        await asyncio.gather(self.send_requested(), self.send_replays())

    async def send_requested(self) -> None:
        """Send the rows that an admin requests."""

        async def send() -> dict[str, int]:
            if not (await self._pending.read()).rows:
                return {}
            counts, _ = await self._sender.send_all("requested")
            return counts

        await self._send_and_report(send, "Queue flushed on request")

    async def send_replays(self) -> None:
        """Send a chunk of each running replay."""

        async def send() -> dict[str, int]:
            return await self._sender.send_replays() if (await self._pending.read()).replays else {}

        await self._send_and_report(send, "Replay took its turn")

    async def _send_and_report(self, send: Callable[[], Awaitable[dict[str, int]]], event: str) -> None:
        """Call `send`, log the counts that it returns as `event`, and update the health."""
        try:
            counts = await send()
            if any(counts.values()):
                self._log.info(event, **counts)
        except Failure as failure:
            # Readiness checks the database itself.
            is_database = isinstance(failure, DependencyUnavailable) and failure.dependency == "database"
            if not is_database and self._health.set("replays", ok=False, reason=failure.reason):
                self._log.warning("Queue not flushed on request", reason=failure.reason)
        self._update_health()

    def _update_health(self) -> None:
        """Report the service as unhealthy if sending to a target failed, or the last run had a bug."""
        reasons = [*self._sender.reasons(), *([self._bug] if self._bug else [])]
        self._health.set("replays", ok=not reasons, reason="; ".join(reasons))

    async def _send_due(self) -> Report:
        """Send all due rows, and return the report. If rows could not be sent, the run is repeated soon.

        After an error other than `DependencyUnavailable`, the next run is at the next tick of the schedule.
        """
        self._bug = ""
        try:
            counts, reasons = await self._sender.send_all("due")
            return Report({}, "; ".join(reasons)) if reasons else Report(counts)
        except DependencyUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a bug is recorded with its run
            report = failed_report(JOB, error)
            self._bug = "" if isinstance(error, Failure) else report.reason or ""
            return replace(report, retry=False)
        finally:
            self._update_health()

    async def _repeat(self, poll: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self._stopping.is_set():
            await self._track(poll())
            await asyncio.sleep(seconds_to_next(POLL_SECONDS))

    async def _track(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run `work` as a task that `drain` waits for."""
        task = asyncio.ensure_future(work)
        self._in_progress.add(task)
        try:
            return await task
        finally:
            self._in_progress.discard(task)
