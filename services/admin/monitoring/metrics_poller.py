"""The background check of the gauges: nothing else tells this service that the books differ."""

import asyncio
import time
from typing import Final

from runtime import metrics
from runtime.failures import DependencyUnavailable
from runtime.logs import logger
from services.admin.adapters import Adapters
from services.admin.monitoring.queue_counts import STATES, Census

CHECK_SECONDS: Final = 15.0
# While the database is away, look more often, so that the gauges come back soon after it.
AWAY_SECONDS: Final = 2.0
# A census of a very large installation takes a while: it may cost the database this share of its time.
CENSUS_SHARE: Final = 0.05


async def watch(adapters: Adapters) -> None:
    """Refresh the gauges until cancelled."""
    census_due = 0.0
    while True:
        try:
            await adapters.store.ping()
        except DependencyUnavailable:
            await _show_lag(adapters)
            await asyncio.sleep(AWAY_SECONDS)
            continue
        started = time.monotonic()
        if started >= census_due:
            await _show_census(adapters)
            await _show_jobs(adapters)
            census_due = time.monotonic() + (time.monotonic() - started) / CENSUS_SHARE
        await _show_lag(adapters)
        await asyncio.sleep(CHECK_SECONDS)


async def _show_census(adapters: Adapters) -> None:
    try:
        census = await adapters.census()
    except DependencyUnavailable as away:
        logger("census").warning("not counted", reason=away.reason)
        return
    show(census)
    for identity in census.books.identities:
        if not identity.balanced:
            logger("ledger").error(
                "the books do not balance",
                stage=identity.stage,
                identity=identity.name,
                difference=identity.difference,
            )


def show(census: Census) -> None:
    """Put a census into the gauges."""
    for stage in census.stages:
        for state in STATES:
            metrics.QUEUE_ROWS.labels(stage=stage.stage, state=state).set(getattr(stage, state))
        metrics.QUEUE_OLDEST.labels(stage=stage.stage).set(stage.oldest_open_age_seconds or 0)
        metrics.STAGE_PAUSED.labels(stage=stage.stage).set(stage.paused)
    for identity in census.books.identities:
        metrics.LEDGER_DRIFT.labels(stage=identity.stage, identity=identity.name).set(identity.difference)
    for totals in census.books.stages:
        metrics.LEDGER_MISSING.labels(stage=totals.stage).set(totals.missing)


async def _show_jobs(adapters: Adapters) -> None:
    try:
        jobs = await adapters.store.list_jobs()
    except DependencyUnavailable:
        return  # readiness reports it
    for job in jobs:
        if job.last_finished_at:
            metrics.JOB_LAST_RUN.labels(name=job.name).set(job.last_finished_at.timestamp())
            metrics.JOB_SUCCEEDED.labels(name=job.name).set(job.last_outcome != "failed")
        if job.next_run_at:
            metrics.JOB_NEXT_RUN.labels(name=job.name).set(job.next_run_at.timestamp())


async def _show_lag(adapters: Adapters) -> None:
    try:
        found = await adapters.lag.read()
    except DependencyUnavailable:
        # Absent, not 0: nobody knows.
        metrics.GROUP_LAG.clear()
        metrics.GROUP_OLDEST.clear()
        return
    for group, lags in found.items():
        for topic, lag in lags.items():
            metrics.GROUP_LAG.labels(group=group, topic=topic).set(lag)
        metrics.GROUP_OLDEST.labels(group=group).set(adapters.lag.oldest_seconds[group])
