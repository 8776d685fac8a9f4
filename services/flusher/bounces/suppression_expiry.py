"""The daily job that removes expired entries of the suppression list. The notifier ignores them anyway."""

from typing import Final

from runtime.database.postgres import Pool, transaction
from services.flusher.bounces.event_store import SQL
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "suppression_expiry"
CRON: Final = "15 4 * * *"


def suppression_expiry_job(pool: Pool, runs: JobRuns, clock: Clock) -> ScheduledJob:
    """Return the job."""

    async def remove() -> Report:
        async with transaction(pool) as connection:
            return Report({"removed": await SQL.remove_expired(connection)})

    return ScheduledJob(JOB, CRON, runs, clock, remove)
