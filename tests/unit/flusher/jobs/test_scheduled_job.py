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
    """A fake of the database: this flusher claims every tick, and no run is requested."""

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


class Unavailable(Records):
    """The database, which does not answer while `fails` is set."""

    fails = False
    ticks = 0
    is_requested = False

    @contextlib.asynccontextmanager
    async def job_lock(self, _: str) -> AsyncIterator[bool]:
        self.ticks += 1
        self._answer()
        yield True

    async def is_job_requested(self, _: str) -> bool:
        if not self.is_requested:
            self._answer()
        return self.is_requested

    def _answer(self) -> None:
        if self.fails:
            raise DependencyUnavailable("database", "database does not answer")


@pytest.mark.parametrize(("minutes_to_tick", "is_requested"), [(0, False), (4, False), (4, True)])
async def test_outage_is_logged_once_and_the_job_backs_off(minutes_to_tick: int, is_requested: bool) -> None:
    async def work() -> Report:
        return Report({})

    now, records = datetime(2026, 1, 1, 12, 0, 3, tzinfo=UTC), Unavailable()
    job = ScheduledJob("job", "*/5 * * * *", cast("JobRuns", records), lambda: now, work)
    await job.poll()  # the first poll runs the job
    records.ticks = 0
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            now += timedelta(minutes=5 - minutes_to_tick)
            for second in range(150):
                records.fails = second < 120
                records.is_requested = is_requested and records.fails
                await job.poll()
                now += timedelta(seconds=1)
            now += timedelta(seconds=150 + 60 * minutes_to_tick)
            await job.poll()
    assert [entry["event"] for entry in logs if entry["event"] == "Job not run"] == ["Job not run"] * 2
    assert records.ticks < 30
