"""The daily job that erases leads older than their retention period.

It calls the SQL function `erase_lead`.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from runtime.database.erasure import erase_lead
from runtime.database.postgres import Pool, load_queries, transaction
from runtime.failures import Failure
from runtime.sites.model import Sites
from runtime.tasks import seconds_to_next
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.retention_periods import RetentionPeriods
from services.flusher.jobs.scheduled_job import POLL_SECONDS, Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "retention"
ACTOR: Final = "retention"
# At night in UTC, when there are few leads.
CRON: Final = "30 3 * * *"
CHUNK: Final = 500
# The position in front of every row.
BEFORE_ALL: Final[dict[str, Any]] = {"after_at": datetime.min.replace(tzinfo=UTC), "after_id": UUID(int=0)}
SQL: Any = load_queries(Path(__file__).with_name("retention.sql"))


class Retention:
    """Erases leads that are older than the retention period of their site.

    Each lead is erased in its own transaction. If a run is stopped, the next run continues where it ended.
    The job is off while no site has a period.
    """

    def __init__(self, pool: Pool, runs: JobRuns, clock: Clock, periods: RetentionPeriods) -> None:
        self._pool = pool
        self._runs = runs
        self._clock = clock
        self._periods = periods
        self.job = self._new_job()

    def apply(self, sites: Sites) -> None:
        """Use the periods of a new version of the sites file, also for the rest of the current run."""
        self._periods = RetentionPeriods(self._periods.installation_days, sites)

    async def run(self) -> None:
        """Run on schedule until cancelled. While the job is off, no next run is planned."""
        is_cleared = False
        while True:
            if self._periods.are_set:
                if is_cleared:
                    self.job, is_cleared = self._new_job(), False
                await self.job.poll()
            elif not is_cleared:
                is_cleared = await self._clear_next_run()
            await asyncio.sleep(seconds_to_next(POLL_SECONDS))

    def _new_job(self) -> ScheduledJob:
        return ScheduledJob(JOB, CRON, self._runs, self._clock, self._erase_old)

    async def _erase_old(self) -> Report:
        refused = dict[Any, str]()
        async with transaction(self._pool) as connection:
            sites = [row["site"] async for row in SQL.list_sites(connection)]
        erased = sum([await self._erase_stored(site, refused) for site in sites])
        erased += await self._erase_queued(refused)
        details = {"erased": erased, "records_emptied": await self._empty_records()}
        if refused:
            reasons = ", ".join(sorted(set(refused.values())))
            return Report(details, f"{len(refused)} leads are not erased: {reasons}")
        return Report(details)

    async def _erase_stored(self, site: str, refused: dict[Any, str]) -> int:
        """Erase the old leads of a site and return how many were erased."""
        erased, last = 0, BEFORE_ALL
        while before := await self._time_before(self._periods.days(site)):
            rows = await self._list(SQL.list_old_leads, site=site, before=before, **last)
            erased += await self._erase_all([row["id"] for row in rows], refused)
            if len(rows) < CHUNK:
                break
            last = {"after_at": rows[-1]["created_at_utc"], "after_id": rows[-1]["id"]}
        return erased

    async def _erase_queued(self, refused: dict[Any, str]) -> int:
        """Erase the old leads that were never stored and return how many were erased."""
        erased, last = 0, BEFORE_ALL
        while times := await self._record_times():
            rows = await self._list(SQL.list_old_queued, **times, **last)
            # A lead may have several records. Those on later pages are emptied by then.
            erased += await self._erase_all(list(dict.fromkeys(row["lead_id"] for row in rows)), refused)
            if len(rows) < CHUNK:
                break
            last = {"after_at": rows[-1]["first_failed_at"], "after_id": rows[-1]["id"]}
        return erased

    async def _empty_records(self) -> int:
        """Empty the old records that belong to no lead and return how many were emptied."""
        if not (times := await self._record_times()):
            return 0
        async with transaction(self._pool) as connection:
            emptied: int = await SQL.empty_old_rows(connection, actor=ACTOR, **times)
        return emptied

    async def _record_times(self) -> dict[str, Any] | None:
        """Return the parameters of `list_old_queued` that select old records. None: no record is old."""
        now = await self._read_time()
        periods = self._periods
        befores = {site: now - timedelta(days=days) for site, days in periods.site_days.items()}
        days = periods.installation_days
        other_before = None if days is None else now - timedelta(days=days)
        times = [*befores.values(), *([other_before] if other_before else [])]
        if not times:
            return None
        return {
            "sites": list(befores),
            "befores": list(befores.values()),
            "other_before": other_before,
            "latest": max(times),
        }

    async def _time_before(self, days: int | None) -> datetime | None:
        return None if days is None else await self._read_time() - timedelta(days=days)

    async def _read_time(self) -> datetime:
        """Return the time by the clock that is behind, ours or the database's.

        An erasure cannot be undone: one clock that is a year ahead must not make every lead an old one.
        """
        async with transaction(self._pool) as connection:
            database_time: datetime = await SQL.read_time(connection)
        return min(self._clock(), database_time)

    async def _list(self, query: Any, **parameters: Any) -> list[Any]:
        async with transaction(self._pool) as connection:
            await SQL.plan_for_values(connection)
            return [row async for row in query(connection, chunk=CHUNK, **parameters)]

    async def _erase_all(self, lead_ids: list[Any], refused: dict[Any, str]) -> int:
        """Erase these leads and return how many were erased.

        If the database does not erase a lead, its id and the reason are added to `refused`.
        """
        for lead_id in lead_ids:
            try:
                await self._erase(lead_id)
            except Failure as failure:
                refused[lead_id] = failure.reason
                async with transaction(self._pool):  # raises if the database is unavailable
                    pass
        return sum(lead_id not in refused for lead_id in lead_ids)

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
