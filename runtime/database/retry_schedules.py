"""Writes the retry schedules of a process into the database, where the admin service reads them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from runtime.database.postgres import Pool, load_queries, transaction
from runtime.failures import Backoff, Failure

SQL: Any = load_queries(Path(__file__).with_name("retry_schedules.sql"))
REPORT_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class RetrySchedule:
    """When something that failed is retried.

    `work` is `records` for a stage's rows of the replay queue, or `deliveries` for requests to destinations.
    `waits_seconds` are the waits before the first retry, the second, and so on. Each wait is extended by a
    random share of up to `jitter` (0.2 means 20 %). `cron` is the schedule on which retries are sent. If it
    is None, a retry is sent as soon as its wait is over.
    """

    stage: str
    work: Literal["records", "deliveries"]
    waits_seconds: tuple[float, ...]
    jitter: float
    cron: str | None = None


async def report_retry_schedules(pool: Pool, schedules: Sequence[RetrySchedule]) -> None:
    """Write these schedules at once and then every hour, until cancelled.

    While the database is unavailable, tries again every few seconds.
    """
    backoff, attempt = Backoff(), 0
    while True:
        try:
            async with transaction(pool) as connection:
                for each in schedules:
                    await SQL.report_retry_schedule(
                        connection,
                        stage=each.stage,
                        work=each.work,
                        waits_seconds=list(each.waits_seconds),
                        jitter=each.jitter,
                        cron=each.cron,
                    )
            attempt, wait = 0, REPORT_SECONDS
        except Failure:  # readiness reports the database
            attempt, wait = attempt + 1, backoff.seconds(attempt)
        await asyncio.sleep(wait)
