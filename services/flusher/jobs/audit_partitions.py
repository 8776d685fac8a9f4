"""The job that creates the audit log's partitions ahead of its entries (migration 0049)."""

from pathlib import Path
from typing import Any, Final

from runtime.database.postgres import Pool, load_queries, transaction
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "audit_partitions"
# A partition takes two million leads, so an hour is early.
CRON: Final = "17 * * * *"
SQL: Any = load_queries(Path(__file__).with_name("audit_partitions.sql"))


def audit_partitions_job(pool: Pool, runs: JobRuns, clock: Clock) -> ScheduledJob:
    """Return the job that has two empty partitions follow the current one.

    The report of a run names the partitions that it created. If the log is one table, none is created.
    """

    async def create() -> Report:
        async with transaction(pool) as connection:
            return Report({"created": await SQL.create_partitions(connection)})

    return ScheduledJob(JOB, CRON, runs, clock, create)
