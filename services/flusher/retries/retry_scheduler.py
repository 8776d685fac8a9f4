"""The flusher's jobs: what is due is sent by the clock, what an admin wants within a second or two."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import Backoff, DependencyUnavailable, Failure
from runtime.health import Health
from runtime.logs import logger
from services.flusher.publisher import ReplayPublisher
from services.flusher.retries.destination_sender import DestinationSender
from services.flusher.retries.retry_claims import RetryClaims
from services.flusher.store import Clock

JOB: Final = "replay_queue"
POLL_SECONDS: Final = 1.0
# A chunk in hand ends within its sends (10 s) and its commit.
DRAIN_SECONDS: Final = 20.0


def utc_now() -> datetime:
    """Return the time. The only clock of this service; tests put another in its place."""
    return datetime.now(UTC)


class RetryScheduler:
    """Runs the scheduled job and watches for requests. Every run ends recorded, or is run again."""

    def __init__(
        self,
        claims: RetryClaims,
        publisher: ReplayPublisher,
        health: Health,
        cron: str,
        clock: Clock = utc_now,
        backoff: Backoff | None = None,
    ) -> None:
        self._claims = claims
        self._publisher = publisher
        self._health = health
        self._cron = cron
        self._trigger = CronTrigger.from_crontab(cron, timezone=UTC)
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._log = logger("replay")
        self._stopping = asyncio.Event()
        self._sender = DestinationSender(
            claims, publisher, clock, backoff or Backoff(base_seconds=2, cap_seconds=60), self._stopping
        )
        self._bug = ""  # of the last run
        self._in_hand = set[asyncio.Task[Any]]()

    async def run(self) -> None:
        """Keep the scheduler and the polls going until cancelled; what was missed is made up."""
        scheduler = AsyncIOScheduler(timezone=UTC)
        # Late is better than never, and once is enough; next_run_time: now, if nobody ran this tick.
        scheduler.add_job(
            self.tick,
            self._trigger,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
            next_run_time=self._clock(),
        )
        scheduler.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._repeat(self.send_requested))
                group.create_task(self._repeat(self.send_replays))
        finally:
            scheduler.shutdown(wait=False)

    async def drain(self) -> None:
        """Begin nothing more and let the chunks in hand end. Bounded: a cut-off one is sent again later."""
        self._stopping.set()
        if self._in_hand:
            await asyncio.wait(set(self._in_hand), timeout=DRAIN_SECONDS)

    async def tick(self) -> None:
        """Run the job for this tick; come back until it succeeded, whatever is away meanwhile."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                if await self._hold(self._run_once()):
                    return
            except DependencyUnavailable as away:
                self._log.warning("Queue not flushed", reason=away.reason)
            await self._sleep(self._backoff.seconds(attempt))
            attempt += 1

    async def poll(self) -> None:
        """Send once what an admin wants now, and give each running replay a turn."""
        await asyncio.gather(self.send_requested(), self.send_replays())

    async def send_requested(self) -> None:
        """Send the rows that an admin wants sent now."""

        async def send() -> dict[str, int]:
            counts, _ = await self._sender.send_all("requested")
            return counts

        await self._watch(send, "Queue flushed on request")

    async def send_replays(self) -> None:
        """Give each running replay a turn."""
        await self._watch(self._sender.send_replays, "Replay took its turn")

    async def _watch(self, send: Callable[[], Awaitable[dict[str, int]]], said: str) -> None:
        """Run what a poll does, and say how the service is."""
        try:
            counts = await send()
            if any(counts.values()):
                self._log.info(said, **counts)
        except Failure as failure:
            # Readiness checks the database itself.
            is_database = isinstance(failure, DependencyUnavailable) and failure.dependency == "database"
            if not is_database and self._health.set("replays", ok=False, reason=failure.reason):
                self._log.warning("Queue not flushed on request", reason=failure.reason)
        self._tell_health()

    def _tell_health(self) -> None:
        """Say what is wrong now. A destination that nobody needs any more is forgotten."""
        reasons = [*self._sender.reasons(), *([self._bug] if self._bug else [])]
        self._health.set("replays", ok=not reasons, reason="; ".join(reasons))

    async def _run_once(self) -> bool:
        """Run the job unless another flusher has this tick; False where it is to be tried again."""
        async with self._claims.job_lock(JOB) as mine:
            if not mine:
                return True
            upcoming = self._trigger.get_next_fire_time(None, self._clock())
            runs = await self._claims.begin_run(JOB, self._cron, upcoming)
            if runs is None:
                return True
            started = time.monotonic()
            outcome, details, again, self._bug = "succeeded", dict[str, Any](), False, ""
            try:
                counts, reasons = await self._sender.send_all("due")
                details = {"reason": "; ".join(reasons)} if reasons else counts
                outcome, again = ("failed", True) if reasons else ("succeeded", False)
            except Failure as failure:
                outcome, details, again = (
                    "failed",
                    {"reason": failure.reason},
                    isinstance(failure, DependencyUnavailable),
                )
            except Exception as error:  # noqa: BLE001 - a bug is recorded with its run
                metrics.BUGS.inc()
                self._log.error("unexpected error in a job", exc_info=True)
                self._bug = Reason.BUG.format(exception=type(error).__name__)
                outcome, details = "failed", {"reason": self._bug}
            duration_ms = round((time.monotonic() - started) * 1000)
            self._tell_health()
            await self._claims.end_run(JOB, runs, outcome, duration_ms, details)
        said = "Queue flushed" if outcome == "succeeded" else "Queue not flushed"
        self._log.info(said, run=runs, duration_ms=duration_ms, next_run_at=str(upcoming), **details)
        return not again

    async def _repeat(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self._stopping.is_set():
            await self._hold(work())
            await self._sleep(POLL_SECONDS)

    async def _hold(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run `work` as something that a drain waits for."""
        task = asyncio.ensure_future(work)
        self._in_hand.add(task)
        try:
            return await task
        finally:
            self._in_hand.discard(task)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
