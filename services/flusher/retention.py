"""The daily job that erases leads older than they may be, by the database's own `erase_lead`."""

import asyncio
import time
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, Final

from apscheduler.triggers.cron import CronTrigger

from runtime.failures import Backoff, Failure
from runtime.logs import logger
from runtime.postgres import Pool, load_queries, transaction
from services.flusher.outbox import Outbox
from services.flusher.store import Clock

JOB: Final = "retention"
ACTOR: Final = "retention"
# At night in UTC, when few leads come.
CRON: Final = "30 3 * * *"
CHUNK: Final = 500
SQL: Any = load_queries(Path(__file__).with_name("retention.sql"))


class Retention:
    """Erases lead by lead, each in a transaction of its own: a stop loses nothing, the next run goes on.

    `days` of None switches it off.
    """

    def __init__(self, pool: Pool, outbox: Outbox, clock: Clock, days: int | None) -> None:
        self._pool = pool
        self._outbox = outbox
        self._clock = clock
        self._days = days
        self._trigger = CronTrigger.from_crontab(CRON, timezone=UTC)
        self._backoff = Backoff(cap_seconds=60)
        self._log = logger("retention")

    async def run(self) -> None:
        """Run each day, and now where a run was missed, until cancelled."""
        attempt = 0
        while True:
            try:
                if self._days is None:
                    await self._stop_job()
                    return
                done = await self.tick()
            except Failure as failure:
                self._log.warning("Retention not run", reason=failure.reason)
                done = False
            if done:
                attempt = 0
                await asyncio.sleep(self._seconds_to_next())
            else:
                await asyncio.sleep(self._backoff.seconds(attempt))
                attempt += 1

    async def tick(self) -> bool:
        """Run once, unless another flusher has this tick; return False where it is to be tried again."""
        async with self._outbox.job_lock(JOB) as mine:
            if not mine:
                return True
            upcoming = self._trigger.get_next_fire_time(None, self._clock())
            runs = await self._outbox.begin_run(JOB, CRON, upcoming)
            if runs is None:
                return True
            started, outcome, details = time.monotonic(), "succeeded", dict[str, Any]()
            try:
                details = await self._erase_old()
            except Failure as failure:
                outcome, details = "failed", {"reason": failure.reason}
            duration_ms = round((time.monotonic() - started) * 1000)
            await self._outbox.end_run(JOB, runs, outcome, duration_ms, details)
        self._log.info("Retention run", outcome=outcome, duration_ms=duration_ms, **details)
        return outcome == "succeeded"

    async def _erase_old(self) -> dict[str, int]:
        if self._days is None:
            return {}
        before = self._clock() - timedelta(days=self._days)
        leads, last = 0, dict[str, Any](after_at=None, after_id=None)
        while True:
            rows = await self._list(SQL.list_old_leads, before=before, **last)
            for row in rows:
                await self._erase(row["id"])
            leads += len(rows)
            if len(rows) < CHUNK:
                break
            last = {"after_at": rows[-1]["created_at_utc"], "after_id": rows[-1]["id"]}
        while rows := await self._list(SQL.list_old_parked, before=before):
            for row in rows:
                await self._erase(row["id"])
            leads += len(rows)
        async with transaction(self._pool) as connection:
            records = await SQL.empty_old_rows(connection, before=before, actor=ACTOR)
        return {"erased": leads, "records_emptied": records}

    async def _list(self, query: Any, **wanted: Any) -> list[Any]:
        async with transaction(self._pool) as connection:
            return [row async for row in query(connection, chunk=CHUNK, **wanted)]

    async def _erase(self, lead_id: Any) -> None:
        async with transaction(self._pool) as connection:
            await SQL.erase_lead(connection, id=lead_id, actor=ACTOR)

    async def _stop_job(self) -> None:
        async with transaction(self._pool) as connection:
            await SQL.stop_job(connection, name=JOB)

    def _seconds_to_next(self) -> float:
        now = self._clock()
        upcoming = self._trigger.get_next_fire_time(None, now)
        return max(1.0, (upcoming - now).total_seconds()) if upcoming else 3600.0
