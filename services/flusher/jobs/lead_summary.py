"""The job that counts the leads of past days for the dashboard's overview (migration 0019)."""

from pathlib import Path
from typing import Any, Final

from runtime.database.postgres import Pool, load_queries, transaction
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "lead_summary"
CRON: Final = "*/5 * * * *"
# Longer than the usual limit of a statement: the first run counts two years. Nothing waits for it.
REFRESH_SECONDS: Final = 600.0
SQL: Any = load_queries(Path(__file__).with_name("lead_summary.sql"))


def lead_summary_job(pool: Pool, runs: JobRuns, clock: Clock) -> ScheduledJob:
    """Return the job that counts the leads of past days.

    The report of a run contains the number of days that the run counted.
    """

    async def refresh() -> Report:
        async with transaction(pool) as connection:
            days = await connection.fetchval(SQL.refresh_lead_summary.sql, timeout=REFRESH_SECONDS)
        return Report({"days": days})

    return ScheduledJob(JOB, CRON, runs, clock, refresh)
