"""Updates the gauges of `/metrics` in the background, and logs if the ledger does not match the tables."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from runtime import metrics
from runtime.database.postgres import Pool, ping
from runtime.failures import DependencyUnavailable
from runtime.logs import logger
from runtime.tasks import seconds_to_next
from services.admin.monitoring.audit_partitions import count_missing_partitions
from services.admin.monitoring.canaries import CanaryGauges
from services.admin.monitoring.consumer_lag import LagReader
from services.admin.monitoring.incident_counts import count_open_incidents
from services.admin.monitoring.mail_outcomes import count_mail_outcomes
from services.admin.monitoring.outbox_counts import count_outbox
from services.admin.monitoring.queue_counts import STATES, QueueCounts, count_queue
from services.admin.monitoring.scheduled_jobs import list_jobs
from services.admin.monitoring.spam_shares import read_risen_spam
from services.admin.rules.mail_rates import SHOWN_FAILURES
from services.admin.schemas.destinations import DestinationList

ReadDestinations = Callable[[], Awaitable[DestinationList]]
POLL_SECONDS: Final = 15.0
# The headline's poll reads the lag at the same moment.
LAG_MAX_AGE_SECONDS: Final = 1.0
# Poll more often while the database is unavailable, so that the gauges return soon after it does.
UNAVAILABLE_POLL_SECONDS: Final = 2.0
# Counting a very large installation is slow. It may keep the database busy for this share of the time.
MAX_COUNTING_SHARE: Final = 0.05


async def poll_metrics(pool: Pool, lag: LagReader, read_destinations: ReadDestinations) -> None:
    """Update the gauges every `POLL_SECONDS` until the task is cancelled."""
    counts_due_at = 0.0
    canaries = CanaryGauges()
    while True:
        try:
            await ping(pool)
        except DependencyUnavailable:
            canaries.database_unavailable()
            await _update_lag(lag)
            await asyncio.sleep(UNAVAILABLE_POLL_SECONDS)
            continue
        await canaries.update(pool)
        started = time.monotonic()
        if started >= counts_due_at:
            await _update_queue_counts(pool)
            await _update_jobs(pool)
            await _update_spam(pool)
            await update_emails(pool)
            await update_incidents(pool)
            await update_destinations(read_destinations)
            await update_outbox(pool)
            await update_audit_partitions(pool)
            counts_due_at = time.monotonic() + (time.monotonic() - started) / MAX_COUNTING_SHARE
        await _update_lag(lag)
        await asyncio.sleep(seconds_to_next(POLL_SECONDS))


async def _update_queue_counts(pool: Pool) -> None:
    try:
        counts = await count_queue(pool)
    except DependencyUnavailable as error:
        logger("queue_counts").warning("gauges not updated", reason=error.reason)
        return
    set_queue_gauges(counts)
    for identity in counts.books.identities:
        if not identity.balanced:
            logger("ledger").error(
                "the ledger does not match the tables",
                stage=identity.stage,
                identity=identity.name,
                difference=identity.difference,
            )


def set_queue_gauges(counts: QueueCounts) -> None:
    """Set the gauges of the replay queue and of the ledger."""
    for stage in counts.stages:
        for state in STATES:
            metrics.QUEUE_ROWS.labels(stage=stage.stage, state=state).set(getattr(stage, state))
        metrics.QUEUE_OLDEST.labels(stage=stage.stage).set(stage.oldest_open_age_seconds or 0)
        metrics.STAGE_PAUSED.labels(stage=stage.stage).set(stage.paused)
    metrics.DEAD_NOTIFICATIONS.set(counts.dead_notifications)
    for identity in counts.books.identities:
        metrics.LEDGER_DRIFT.labels(stage=identity.stage, identity=identity.name).set(identity.difference)
    for totals in counts.books.stages:
        metrics.LEDGER_MISSING.labels(stage=totals.stage).set(totals.missing)


async def _update_jobs(pool: Pool) -> None:
    try:
        jobs = await list_jobs(pool)
    except DependencyUnavailable:
        return  # the readiness check reports it
    for job in jobs:
        if job.last_finished_at:
            metrics.JOB_LAST_RUN.labels(name=job.name).set(job.last_finished_at.timestamp())
            metrics.JOB_SUCCEEDED.labels(name=job.name).set(job.last_outcome != "failed")
        if job.next_run_at:
            metrics.JOB_NEXT_RUN.labels(name=job.name).set(job.next_run_at.timestamp())


async def _update_spam(pool: Pool) -> None:
    try:
        risen = await read_risen_spam(pool)
    except DependencyUnavailable:
        return
    metrics.SPAM_RISEN.clear()
    for share in risen:
        metrics.SPAM_RISEN.labels(site=share.site).set(1)


async def update_emails(pool: Pool) -> None:
    """Set the gauges of the last hour's emails. While the database is unavailable, they do not change."""
    try:
        rates = await count_mail_outcomes(pool)
    except DependencyUnavailable:
        return
    metrics.MAILS_LAST_HOUR.clear()
    for each in rates.counts:
        for state, emails in each.states.items():
            metrics.MAILS_LAST_HOUR.labels(site=each.site, kind=each.kind, outcome=state).set(emails)
    metrics.MAILS_FAILING.clear()
    failing = [each for each in rates.failing.counts if each.severity == "bad"]
    for each in failing:
        for reply, emails in each.failures[:SHOWN_FAILURES]:
            metrics.MAILS_FAILING.labels(site=each.site, kind=each.kind, reply=reply).set(emails)


async def update_incidents(pool: Pool) -> None:
    """Set the gauge of open incidents. If the database is unavailable, leave it unchanged."""
    try:
        counts = await count_open_incidents(pool)
    except DependencyUnavailable:
        return
    for (severity, acknowledged), incidents in counts.items():
        answer = "yes" if acknowledged else "no"
        metrics.INCIDENTS.labels(severity=severity, acknowledged=answer).set(incidents)


async def update_destinations(read: ReadDestinations) -> None:
    """Set the gauges of destinations. While the database is unavailable, the gauges do not change."""
    try:
        destinations = await read()
    except DependencyUnavailable:
        return
    for gauge in (metrics.DESTINATION_WAITING, metrics.DESTINATION_DEAD, metrics.DESTINATION_FAILING):
        gauge.clear()
    for each in destinations.destinations:
        if each.state == "removed":  # nobody can act on it
            continue
        metrics.DESTINATION_WAITING.labels(destination=each.name).set(each.waiting)
        metrics.DESTINATION_DEAD.labels(destination=each.name).set(each.dead)
        failing = each.state in ("paused", "disabled")
        metrics.DESTINATION_FAILING.labels(destination=each.name).set(failing)


async def update_outbox(pool: Pool) -> None:
    """Set the gauges of the outbox. They keep their values while the database is unavailable."""
    try:
        rows, oldest_seconds = await count_outbox(pool)
    except DependencyUnavailable:
        return
    metrics.OUTBOX_ROWS.set(rows)
    metrics.OUTBOX_OLDEST.set(oldest_seconds)


async def _update_lag(lag: LagReader) -> None:
    try:
        lags = await lag.read(LAG_MAX_AGE_SECONDS)
    except DependencyUnavailable:
        # Remove the series instead of setting 0: the lag is unknown.
        metrics.GROUP_LAG.clear()
        metrics.GROUP_OLDEST.clear()
        return
    for group, by_topic in lags.items():
        for topic, records in by_topic.items():
            metrics.GROUP_LAG.labels(group=group, topic=topic).set(records)
        metrics.GROUP_OLDEST.labels(group=group).set(lag.oldest_seconds[group])


async def update_audit_partitions(pool: Pool) -> None:
    """Set the gauge of missing partitions. It keeps its value while the database is unavailable."""
    try:
        missing = await count_missing_partitions(pool)
    except DependencyUnavailable:
        return
    metrics.AUDIT_PARTITIONS_MISSING.set(missing)
