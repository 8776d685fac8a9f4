"""The daily job that erases leads older than the retention period, with the SQL function `erase_lead`."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from runtime.database.erasure import erase_lead
from runtime.database.postgres import Pool, load_queries, transaction
from runtime.failures import Failure
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import POLL_SECONDS, Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "retention"
ACTOR: Final = "retention"
# At night in UTC, when there are few leads.
CRON: Final = "30 3 * * *"
CHUNK: Final = 500
SQL: Any = load_queries(Path(__file__).with_name("retention.sql"))


class Retention:
    """Erases leads that are older than `days` days. If `days` is None, the job is off.

    Each lead is erased in its own transaction. So if a run is stopped, its finished erasures stay, and the
    next run continues.
    """

    def __init__(self, pool: Pool, runs: JobRuns, clock: Clock, days: int | None) -> None:
        self._pool = pool
        self._clock = clock
        self._days = days
        self.job = ScheduledJob(JOB, CRON, runs, clock, self._erase_old)

    async def run(self) -> None:
        """Run on schedule until cancelled. If `days` is None, only clear the stored time of the next run."""
        if self._days is not None:
            await self.job.run()
        while self._days is None:
            if await self._clear_next_run():
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _erase_old(self) -> Report:
        if self._days is None:
            return Report({})
        before = self._clock() - timedelta(days=self._days)
        leads, last, refused = 0, dict[str, Any](after_at=None, after_id=None), dict[Any, str]()
        while True:
            rows = await self._list(SQL.list_old_leads, before=before, **last)
            leads += await self._erase_all(rows, refused)
            if len(rows) < CHUNK:
                break
            last = {"after_at": rows[-1]["created_at_utc"], "after_id": rows[-1]["id"]}
        while rows := await self._list(SQL.list_old_parked, before=before, without=list(refused)):
            leads += await self._erase_all(rows, refused)
        async with transaction(self._pool) as connection:
            records = await SQL.empty_old_rows(connection, before=before, actor=ACTOR)
        details = {"erased": leads, "records_emptied": records}
        if refused:
            reasons = ", ".join(sorted(set(refused.values())))
            return Report(details, f"{len(refused)} leads are not erased: {reasons}")
        return Report(details)

    async def _list(self, query: Any, **parameters: Any) -> list[Any]:
        async with transaction(self._pool) as connection:
            return [row async for row in query(connection, chunk=CHUNK, **parameters)]

    async def _erase_all(self, rows: list[Any], refused: dict[Any, str]) -> int:
        """Erase these leads and return how many were erased.

        If the database does not erase a lead, its id and the reason are added to `refused`.
        """
        for row in rows:
            try:
                await self._erase(row["id"])
            except Failure as failure:
                refused[row["id"]] = failure.reason
                async with transaction(self._pool):  # raises if the database is unavailable
                    pass
        return sum(row["id"] not in refused for row in rows)

    async def _erase(self, lead_id: Any) -> None:
        async with transaction(self._pool) as connection:
            await erase_lead(connection, lead_id, ACTOR)

    async def _clear_next_run(self) -> bool:
        try:
            async with transaction(self._pool) as connection:
                await SQL.stop_job(connection, name=JOB)
        except Failure:
            return False
        return True
