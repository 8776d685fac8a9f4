"""The job that renews the planner's statistics after an erasure: they hold values of columns until then."""

from typing import Final

from runtime.database.postgres import Pool, transaction
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.retention import SQL
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "statistics"
# Erasures ask for a run (migration 0009); the daily one, after the retention job, makes up for a missed one.
CRON: Final = "30 4 * * *"
# Longer than a statement's ordinary bound: 300,000 leads took 3.4 s, and nobody waits for this.
REFRESH_SECONDS: Final = 600.0


def statistics_job(pool: Pool, runs: JobRuns, clock: Clock) -> ScheduledJob:
    """Return the job; however many erasures ask for it meanwhile, it runs once."""

    async def refresh() -> Report:
        async with transaction(pool) as connection:
            await connection.fetchval(SQL.refresh_statistics.sql, timeout=REFRESH_SECONDS)
        return Report({})

    return ScheduledJob(JOB, CRON, runs, clock, refresh)
