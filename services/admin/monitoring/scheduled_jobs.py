"""Reads the flusher's scheduled jobs, how their last runs ended, and the retry schedules."""

from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, autocommit, load_queries, snapshot
from services.admin.schemas.system import SITE_QUEUE_JOB, Job, Jobs, RetrySchedule, SiteQueue

_SQL: Any = load_queries(Path(__file__).with_name("scheduled_jobs.sql"))


async def list_jobs(pool: Pool) -> list[Job]:
    """Return the scheduled jobs. Raises `DependencyUnavailable`."""
    async with autocommit(pool) as connection:
        return [Job.model_validate(dict(row)) async for row in _SQL.list_jobs(connection)]


async def read_jobs(pool: Pool) -> Jobs:
    """Return the scheduled jobs and the retry schedules. Raises `DependencyUnavailable`."""
    async with snapshot(pool) as connection:
        return Jobs(
            jobs=[Job.model_validate(dict(row)) async for row in _SQL.list_jobs(connection)],
            retries=[RetrySchedule(**dict(row)) async for row in _SQL.list_retry_schedules(connection)],
        )


async def list_site_queues(pool: Pool) -> list[SiteQueue]:
    """Return the queue of each website, as the flusher's last run found it.

    Raises `DependencyUnavailable`.
    """
    job = next((each for each in await list_jobs(pool) if each.name == SITE_QUEUE_JOB), None)
    if job is None:
        return []
    sites: dict[str, dict[str, Any]] = job.last_details.get("sites") or {}
    return [
        SiteQueue(site=name, asked_at=job.last_finished_at, **details)
        for name, details in sorted(sites.items())
    ]
