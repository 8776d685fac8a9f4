"""The jobs: what runs by the clock, what runs when an admin asks, and how each run is recorded."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from runtime.failures import Failure
from runtime.health import Health
from runtime.logs import logger
from services.flusher.publisher import ReplayPublisher
from services.flusher.store import Store

JOB: Final = "replay"
CHUNK: Final = 50
# A run that finds more than this leaves the rest to the next one: a job must end.
CHUNKS_PER_RUN: Final = 200
LATE_SECONDS: Final = 240
DRAIN_SECONDS: Final = 20.0


class Jobs:
    """Sends what is due. Several flushers may run: rows are claimed, and a job has one lock."""

    def __init__(
        self, store: Store, publisher: ReplayPublisher, health: Health, cron: str, poll_seconds: float
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._health = health
        self._cron = cron
        self._trigger: Any = CronTrigger.from_crontab(cron, timezone="UTC")
        self._poll_seconds = poll_seconds
        self._busy = asyncio.Lock()
        self._log = logger("queue")
        health.set("jobs", ok=False, reason="starting")

    def _next(self) -> datetime:
        at: datetime = self._trigger.get_next_fire_time(None, datetime.now(UTC))
        return at

    async def register(self) -> bool:
        """Make the job known to the admin service; return True where a run was missed."""
        return await self._store.register_job(JOB, self._cron, self._next())

    async def run(self) -> None:
        """Send everything that is due, once, and record how that went. Raises nothing."""
        async with self._busy:
            started, outcome, details = time.monotonic(), "failed", dict[str, Any]()
            try:
                async with self._store.job_lock(JOB) as ours:
                    if not ours:
                        return
                    await self._store.start_job(JOB, datetime.now(UTC))
                    try:
                        details["sent"] = await self._send(requested_only=False)
                        outcome = "succeeded"
                    except Failure as failure:
                        details["reason"] = failure.reason
                        raise
                    finally:
                        duration = round((time.monotonic() - started) * 1000)
                        await self._store.finish_job(JOB, outcome, duration, details, self._next())
                self._health.set("jobs", ok=True)
                self._log.info("Queue flushed", sent=details["sent"], job=JOB)
            except Failure as failure:
                self._health.set("jobs", ok=False, reason=failure.reason)
                self._log.warning("Queue not flushed", reason=failure.reason, job=JOB)

    async def _send(self, *, requested_only: bool) -> dict[str, int]:
        sent = dict[str, int]()
        for _ in range(CHUNKS_PER_RUN):
            chunk = await self._store.send_chunk(
                self._publisher.replay, requested_only=requested_only, limit=CHUNK
            )
            for stage, count in chunk.by_stage.items():
                sent[stage] = sent.get(stage, 0) + count
            if chunk.total < CHUNK:
                break
        return sent

    async def poll(self) -> None:
        """See within two seconds what an admin wants sent now (no LISTEN: poolers break it)."""
        registered = False
        while True:
            try:
                if not registered:
                    overdue = await self.register()
                    registered = True
                    if overdue:
                        await self.run()
                if sent := await self._send(requested_only=True):
                    self._log.info("Queue flushed", sent=sent, job="requested")
                self._health.set("jobs", ok=True)
            except Failure as failure:
                if self._health.set("jobs", ok=False, reason=failure.reason):
                    self._log.warning("Queue not polled", reason=failure.reason)
            await asyncio.sleep(self._poll_seconds)

    async def drain(self) -> None:
        """Wait, bounded, for the run in hand."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._busy.acquire(), DRAIN_SECONDS)


@asynccontextmanager
async def scheduled(jobs: Jobs, cron: str) -> AsyncIterator[None]:
    """Run the job by the clock while the context lasts; a run missed by a moment is made up for, once."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(
        jobs.run,
        CronTrigger.from_crontab(cron, timezone="UTC"),
        id=JOB,
        coalesce=True,
        max_instances=1,
        misfire_grace_time=LATE_SECONDS,
    )
    scheduler.start()
    try:
        yield
    finally:
        scheduler.pause()
        await jobs.drain()
        scheduler.shutdown(wait=False)
