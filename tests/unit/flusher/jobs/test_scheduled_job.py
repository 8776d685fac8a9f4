"""When a job runs, under a clock that a test turns. What is recorded of it is the integration tests' part."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import structlog

from runtime.failures import DependencyUnavailable
from services.flusher.jobs import scheduled_job
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from tests.support.wait import eventually


class Records:
    """What the database would keep: every tick is this flusher's, and nobody asks for one."""

    @contextlib.asynccontextmanager
    async def job_lock(self, _: str) -> AsyncIterator[bool]:
        yield True

    async def is_job_requested(self, _: str) -> bool:
        return False

    async def begin_run(self, *_: Any) -> int:
        return 1

    async def end_run(self, *_: Any) -> None:
        pass


async def test_regression_clock_set_back_does_not_delay_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduled_job, "POLL_SECONDS", 0.001)
    now, runs = datetime(2026, 1, 1, 12, 1, 3, tzinfo=UTC), []

    async def work() -> Report:
        runs.append(now)
        return Report({})

    async def runs_by_then() -> int:
        nonlocal now
        now += timedelta(seconds=10)
        return len(runs)

    job = ScheduledJob("job", "*/5 * * * *", cast("JobRuns", Records()), lambda: now, work)
    running = asyncio.create_task(job.run())
    try:
        await eventually(runs_by_then, every=0.01, what="the first run")
        now -= timedelta(hours=2)
        before = now
        await eventually(runs_by_then, until=lambda count: count == 2, every=0.01, what="the next run")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert runs[1] - before < timedelta(hours=1)


async def test_an_outage_is_logged_once_however_often_the_job_polls() -> None:
    class Unavailable(Records):
        fails = True

        async def is_job_requested(self, _: str) -> bool:
            if self.fails:
                raise DependencyUnavailable("database", "database does not answer")
            return False

    async def work() -> Report:
        return Report({})

    now, records = datetime(2026, 1, 1, 12, 1, 3, tzinfo=UTC), Unavailable()
    job = ScheduledJob("job", "*/5 * * * *", cast("JobRuns", records), lambda: now, work)
    await job.poll()  # the first poll runs the job
    with structlog.testing.capture_logs() as logs:
        for records.fails in (True, True, True, False, True):
            await job.poll()
    assert [entry["event"] for entry in logs] == ["Job not run", "Job not run"]
