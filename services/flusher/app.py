"""The flusher's process: its settings, its jobs, and the handler that stores failures."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, get_args

from fastapi import FastAPI

from contracts import failures, topics
from runtime.consumer_app import OWN, Openers, Resources, Stage, create_consumer_app
from runtime.database.postgres import Pool
from runtime.database.retry_schedules import RetrySchedule, report_retry_schedules
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.policy import Policy
from runtime.kafka.reconcile import Reconciler
from runtime.settings import load
from runtime.sites.file import load_sites
from runtime.sites.model import Sites
from runtime.sites.watcher import watch_sites
from services.flusher.bounces.digest_events import DigestEvents
from services.flusher.bounces.event_store import MailEventStore
from services.flusher.bounces.mailbox_job import BounceMailboxJob
from services.flusher.bounces.suppression_expiry import suppression_expiry_job
from services.flusher.canary.canary_job import open_canary_job, run_canary_job
from services.flusher.handlers import Handler
from services.flusher.jobs.alert_escalation import alert_escalation_job
from services.flusher.jobs.audit_check import audit_check_job
from services.flusher.jobs.audit_checkpoint_file import CheckpointFile
from services.flusher.jobs.audit_continuity import Continuity
from services.flusher.jobs.audit_partitions import audit_partitions_job
from services.flusher.jobs.audit_seal import AuditSealer, audit_seal_job
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.lead_summary import lead_summary_job
from services.flusher.jobs.outbox_relay import OutboxRelay
from services.flusher.jobs.retention import Retention
from services.flusher.jobs.retention_periods import RetentionPeriods
from services.flusher.jobs.statistics import statistics_job
from services.flusher.publisher import ReplayPublisher
from services.flusher.retries.retry_claims import RetryClaims
from services.flusher.retries.retry_rules import JITTER, WAITS
from services.flusher.retries.retry_scheduler import RetryScheduler, utc_now
from services.flusher.retries.target_sender import CONNECTIONS
from services.flusher.settings import Audit, Settings
from services.flusher.site_queues.clients import open_site_queues
from services.flusher.site_queues.site_queue_import import SiteQueueImport
from services.flusher.store import Store

NAME: Final = "flusher"
FAILURE_SECONDS: Final = 5.0


def create_app(settings: Settings | None = None, openers: Openers = OWN) -> FastAPI:
    """Return the app, which opens no connection before its lifespan begins. Exits if a token is weak."""
    settings = settings or load(Settings)
    sites = load_sites(settings.sites_file.path)
    if not settings.debug.on:
        settings.refuse_weak()
    return create_consumer_app(
        NAME,
        settings,
        topics.consumed_by(NAME),
        topics.GROUPS[NAME],
        partial(_open_stage, settings, sites),
        openers=openers,
        policy=Policy(),
        extra_connections=CONNECTIONS,
    )


@asynccontextmanager
async def _open_stage(settings: Settings, sites: Sites, resources: Resources) -> AsyncIterator[Stage]:
    pool = resources.pool
    async with (
        open_site_queues(settings.gateway_url, settings.sites()) as queues,
        open_canary_job(settings, pool, sites, utc_now) as canary,
    ):
        publisher = ReplayPublisher(resources.publisher, queues.deliver)
        # A bounce is a failure of the stage that had sent the email.
        bounces = FailurePublisher(resources.publisher, "notifier", resources.group, FAILURE_SECONDS)
        claims, runs = RetryClaims(pool, utc_now), JobRuns(pool, utc_now)
        retention = Retention(pool, runs, utc_now, RetentionPeriods(settings.retention_days, sites))
        waits = tuple(wait.total_seconds() for wait in WAITS)
        schedules = [
            RetrySchedule(stage, "records", waits, JITTER, settings.cron)
            for stage in get_args(failures.Stage)
        ]
        reports = BounceMailboxJob(settings, resources.publisher, runs, utc_now)

        def apply(changed: Sites) -> None:
            retention.apply(changed)
            if canary:
                canary.apply(changed)

        jobs = RetryScheduler(claims, runs, publisher, resources.health, settings.cron)
        yield Stage(
            Handler(
                Store(pool, resources.ledger, utc_now),
                MailEventStore(pool, resources.ledger, bounces, DigestEvents(pool, resources.publisher)),
                publisher,
                resources.group,
            ),
            Reconciler(settings.kafka, pool, resources.ledger),
            jobs={
                "jobs": jobs.run,
                "outbox": OutboxRelay(pool, runs, resources.publisher, utc_now).run,
                "pull": SiteQueueImport(pool, runs, queues, settings.cron, utc_now).run,
                "retention": retention.run,
                "sites file": watch_sites(settings.sites_file.path, sites, resources.health, apply),
                "alert escalation": alert_escalation_job(pool, runs, utc_now).run,
                "audit partitions": audit_partitions_job(pool, runs, utc_now).run,
                "canary": partial(run_canary_job, canary, settings.canary.cron, pool, runs, utc_now),
                "lead summary": lead_summary_job(pool, runs, utc_now).run,
                **_audit_jobs(settings.audit, pool, runs),
                "retry schedules": partial(report_retry_schedules, pool, schedules),
                "statistics": statistics_job(pool, runs, utc_now).run,
                **({"bounce mailbox": reports.run} if settings.bounce_mailbox.host else {}),
                "suppressions": suppression_expiry_job(pool, runs, utc_now).run,
            },
            drain=jobs.drain,
        )


def _audit_jobs(
    audit: Audit, pool: Pool, runs: JobRuns
) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
    """Return the jobs that seal and check the audit log: none without a key."""
    keys, path = audit.keys(), audit.checkpoint_file
    if not keys:
        return {}
    file = CheckpointFile(path) if path else None
    former = audit.former_keys()
    public_keys = [*(key.verification_key() for key in keys), *former]
    sealer = AuditSealer(pool, keys, Continuity(keys, file, former))
    return {
        "audit seal": audit_seal_job(runs, utc_now, sealer).run,
        "audit watch": sealer.watch,
        "audit check": audit_check_job(pool, runs, utc_now, public_keys).run,
    }
