"""The flusher's jobs: what is due is sent by the clock, what an admin wants within a second or two."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Final, Literal

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from runtime import metrics
from runtime.failures import Backoff, FailedNow, Failure, WorldAway
from runtime.health import Health
from runtime.logs import logger
from services.flusher.outbox import WAYS, Outbox
from services.flusher.publisher import ReplayPublisher
from services.flusher.replay import Row, Sent, cause_of
from services.flusher.store import Clock

JOB: Final = "replay_queue"
# A chunk is one transaction that holds its payloads in memory: at most 100 x 1 MiB.
CHUNK: Final = 100
POLL_SECONDS: Final = 1.0
# A chunk in hand ends within its sends (10 s) and its commit.
DRAIN_SECONDS: Final = 20.0


def utc_now() -> datetime:
    """Return the time. The only clock of this service; tests put another in its place."""
    return datetime.now(UTC)


class Jobs:
    """Runs the scheduled job and watches for requests. Every run ends recorded, or is run again."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: ReplayPublisher,
        health: Health,
        cron: str,
        clock: Clock = utc_now,
        backoff: Backoff | None = None,
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._health = health
        self._cron = cron
        self._trigger = CronTrigger.from_crontab(cron, timezone=UTC)
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._log = logger("replay")
        self._stopping = asyncio.Event()
        self._in_hand = set[asyncio.Task[Any]]()
        health.set("database", ok=False, reason="connecting")

    async def run(self) -> None:
        """Keep the scheduler and the poll going until cancelled; what was missed is made up."""
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
            while not self._stopping.is_set():
                await self._hold(self.poll())
                await self._sleep(POLL_SECONDS)
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
            except WorldAway as away:
                self._log.warning("Queue not flushed", reason=away.reason)
            await self._sleep(self._backoff.seconds(attempt))
            attempt += 1

    async def poll(self) -> None:
        """Send what an admin asked for."""
        try:
            # While Kafka is away the rows stay free: an admin, or a stage, may want them.
            if await self._outbox.has_requests() and self._publisher.connected:
                await self._send_all("requested")
                await self._take_turns()
                self._health.set("replays", ok=True)
            self._health.set("database", ok=True)
        except Failure as failure:
            part = "database" if isinstance(failure, WorldAway) and failure.part == "database" else "replays"
            if self._health.set(part, ok=False, reason=failure.reason):
                self._log.warning("Queue not flushed on request", reason=failure.reason)

    async def _run_once(self) -> bool:
        """Run the job unless another flusher has this tick; False where it is to be tried again."""
        async with self._outbox.job_lock(JOB) as mine:
            if not mine:
                return True
            upcoming = self._trigger.get_next_fire_time(None, self._clock())
            runs = await self._outbox.begin_run(JOB, self._cron, upcoming)
            if runs is None:
                return True
            started = time.monotonic()
            outcome, details, again = "succeeded", dict[str, Any](), False
            try:
                details = await self._send_all("due")
            except Failure as failure:
                outcome, details, again = "failed", {"reason": failure.reason}, isinstance(failure, WorldAway)
            except Exception as error:  # noqa: BLE001 - a bug is recorded with its run
                metrics.BUGS.inc()
                self._log.error("unexpected error in a job", exc_info=True)
                outcome, details = "failed", {"reason": f"bug: {type(error).__name__}"}
            duration_ms = round((time.monotonic() - started) * 1000)
            self._health.set("replays", ok=outcome == "succeeded", reason=str(details.get("reason", "")))
            await self._outbox.end_run(JOB, runs, outcome, duration_ms, details)
        said = "Queue flushed" if outcome == "succeeded" else "Queue not flushed"
        self._log.info(said, run=runs, duration_ms=duration_ms, next_run_at=str(upcoming), **details)
        return not again

    async def _send_all(self, what: Literal["due", "requested"]) -> dict[str, int]:
        """Send everything that is due, or wanted, chunk by chunk. Raises `WorldAway`; what went is marked."""
        counts, away = Counter[str](sent=0, dead=0), None
        for stages in WAYS:
            try:
                await self._send_way(what, stages, counts)
            except WorldAway as one_way:
                away = one_way
        if away:
            raise away
        if what == "requested" and counts.total():
            self._log.info("Queue flushed on request", **counts)
        return dict(counts)

    async def _send_way(
        self, what: Literal["due", "requested"], stages: list[str], counts: Counter[str]
    ) -> None:
        while True:
            async with self._outbox.claimed(what, stages, CHUNK) as claim:
                sent = await self._publisher.replay(claim.rows, claim.now)
                died = await claim.settle(sent, self._publisher.archive, self._rng) if claim.rows else []
            _count(sent, died, counts)
            if sent.away:
                raise sent.away
            if len(claim.rows) < CHUNK:
                break
            if self._stopping.is_set():
                raise FailedNow("stopped before the end")  # recorded, so the next start goes on

    async def _take_turns(self) -> None:
        """Give each running replay one turn: its rate is its own, and nothing else waits for its end."""
        now, counts = self._clock(), Counter[str]()
        while not self._stopping.is_set():
            async with self._outbox.claimed_turn(now) as claim:
                if claim is None:
                    break
                sent = await self._publisher.replay(claim.rows, now)
                died = await claim.settle(sent, self._publisher.archive, self._rng)
            _count(sent, died, counts)
            if sent.away:
                raise sent.away
        if counts.total():
            self._log.info("Replay took its turn", **counts)

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


def _count(sent: Sent, died: list[Row], counts: Counter[str]) -> None:
    """Count what is committed, for the log, the job's record and the metrics."""
    for row, _ in (*sent.acknowledged, *sent.delivered, *sent.refused):
        counts["sent"] += 1
        counts[row.stage] += 1
        metrics.REPLAYS.labels(stage=row.stage, cause=cause_of(row)).inc()
    for row in died:
        counts["dead"] += 1
        metrics.DEAD.labels(stage=row.stage).inc()
