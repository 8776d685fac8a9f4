"""The webhooks service's process: its consumer, and the sender of deliveries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from fastapi import FastAPI

from contracts import topics
from runtime.consumer_app import OWN, Openers, Resources, Stage, create_consumer_app
from runtime.database.retry_schedules import RetrySchedule, report_retry_schedules
from runtime.event_loop import allow_lookups
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.policy import Policy
from runtime.kafka.reconcile import Reconciler
from runtime.settings import load
from runtime.sites.file import SitesFileError, environment, exit_with, load_sites
from runtime.sites.watcher import watch_sites
from services.webhooks.canaries import CanaryDeliveries
from services.webhooks.client import LOOKUPS_MAX, open_client
from services.webhooks.destinations import Destinations
from services.webhooks.handlers import Handler
from services.webhooks.retry_schedule import JITTER
from services.webhooks.secret_watcher import SecretWatcher
from services.webhooks.sender import Sender
from services.webhooks.settings import Settings
from services.webhooks.store import Store

NAME: Final = "webhooks"
FAILURE_SECONDS: Final = 10.0
# Beside a request's timeout: a lease must not expire while its outcome is written. Two writes that hang take
# 12 s: each `WRITE_SECONDS` (outcome_writer.py) and the second of a cancel request.
LEASE_MARGIN: Final = timedelta(seconds=15)


def create_app(settings: Settings | None = None, openers: Openers = OWN) -> FastAPI:
    """Return the app. It opens no connection before its lifespan begins.

    Exits if the sites file has a mistake, or if a secret of a destination is missing.
    """
    allow_lookups(LOOKUPS_MAX)
    settings = settings or load(Settings)
    sites = load_sites(settings.sites_file.path)
    try:
        destinations = Destinations(sites, environment())
    except SitesFileError as error:
        exit_with(settings.sites_file.path, error)
    return create_consumer_app(
        NAME,
        settings,
        topics.consumed_by(NAME),
        topics.GROUPS[NAME],
        partial(_open_stage, settings, destinations),
        openers=openers,
        policy=Policy(),
    )


@asynccontextmanager
async def _open_stage(
    settings: Settings, destinations: Destinations, resources: Resources
) -> AsyncIterator[Stage]:
    lease = timedelta(seconds=settings.timeout_seconds) + LEASE_MARGIN
    store = Store(resources.pool, resources.ledger, lease)
    publisher = FailurePublisher(resources.publisher, NAME, resources.group, FAILURE_SECONDS)
    watching = watch_sites(settings.sites_file.path, destinations.sites, resources.health, destinations.apply)
    secrets = SecretWatcher(destinations, resources.health)
    async with open_client(settings.timeout_seconds) as client:
        waits = settings.retry_schedule
        seconds = tuple(wait.total_seconds() for wait in waits.waits)
        schedule = RetrySchedule(NAME, "deliveries", seconds, JITTER)
        canaries = CanaryDeliveries(resources.pool, client, destinations, settings.admin_url)
        sender = Sender(store, client, destinations, waits, settings.admin_url)
        yield Stage(
            Handler(store, publisher, destinations, canaries.queue),
            Reconciler(settings.kafka, resources.pool, resources.ledger),
            jobs={
                "canaries": canaries.queue.run,
                "deliveries": sender.run,
                "sites file": watching,
                "secret files": secrets.run,
                "retry schedule": partial(report_retry_schedules, resources.pool, [schedule]),
            },
            drain=sender.drain,
        )
