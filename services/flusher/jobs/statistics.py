"""The job that refreshes PostgreSQL's statistics after an erasure, because they contain erased values."""

from typing import Final

from runtime.database.postgres import Pool, transaction
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.retention import SQL
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "statistics"
# Erasures request a run (migration 0009). The daily run, after the retention job, covers a missed one.
CRON: Final = "30 4 * * *"
# Longer than the usual limit of a statement: 300,000 leads took 3.4 s, and nothing waits for it.
REFRESH_SECONDS: Final = 600.0


def statistics_job(pool: Pool, runs: JobRuns, clock: Clock) -> ScheduledJob:
    """Return the job that refreshes PostgreSQL's statistics.

    If the job is requested several times before its next run, it runs only once.
    """

    async def refresh() -> Report:
        async with transaction(pool) as connection:
            await connection.fetchval(SQL.refresh_statistics.sql, timeout=REFRESH_SECONDS)
        return Report({})

    return ScheduledJob(JOB, CRON, runs, clock, refresh)
