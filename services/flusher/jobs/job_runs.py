"""The adapter to the table `scheduled_job`: records runs, and lets one flusher at a time run a job."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, load_queries, transaction
from services.flusher.jobs.pending_work import PendingWorkReader

SQL: Any = load_queries(Path(__file__).with_name("job_runs.sql"))


class JobRuns:
    """Locks jobs and records their runs. Raises `RetryableError` and `DependencyUnavailable`.

    `pending` reads which jobs and which other work wait.
    """

    def __init__(self, pool: Pool, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._clock = clock
        self.pending = PendingWorkReader(pool)

    @asynccontextmanager
    async def job_lock(self, name: str) -> AsyncIterator[bool]:
        """Lock a job until the context ends. Yields False if another flusher has the lock."""
        async with transaction(self._pool) as connection:
            yield await SQL.try_job_lock(connection, name=name)

    async def is_job_requested(self, name: str) -> bool:
        """Return True if a run of this job is requested."""
        return name in (await self.pending.read()).jobs

    async def begin_run(self, name: str, schedule: str, next_run_at: datetime | None) -> int | None:
        """Record that a run begins, and return the run's number. Return None if no run is needed.

        A run is needed if it is requested, or if no run for the current tick of the schedule has succeeded.
        `schedule` is the job's cron expression. `next_run_at` is the time of its next tick.
        """
        async with transaction(self._pool) as connection:
            runs: int | None = await SQL.begin_run(
                connection, name=name, schedule=schedule, now=self._clock(), next_run_at=next_run_at
            )
            return runs

    async def end_run(
        self, name: str, number: int, outcome: str, duration_ms: int, details: dict[str, Any]
    ) -> None:
        """Record the outcome, the duration and the details of a run. `number` is the number of the run."""
        async with transaction(self._pool) as connection:
            await SQL.end_run(
                connection,
                name=name,
                runs=number,
                now=self._clock(),
                outcome=outcome,
                duration_ms=duration_ms,
                details=details,
            )
