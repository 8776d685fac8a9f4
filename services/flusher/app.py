"""The flusher's process: settings, pool, publisher, consumer and jobs, and the order in which they open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from contracts import topics
from runtime import health, logs
from runtime.database.ledger import Ledger
from runtime.database.postgres import check_database, open_pool
from runtime.http.request_limits import RequestLimits
from runtime.kafka.clients import build_broker, open_publisher
from runtime.kafka.consumer import Consumer
from runtime.kafka.policy import Policy
from runtime.kafka.reconcile import Reconciler
from runtime.settings import load
from runtime.tasks import run_in_background
from runtime.tracing.spans import export_spans
from services.flusher.handlers import Handler
from services.flusher.jobs.retention import Retention
from services.flusher.jobs.statistics import statistics_job
from services.flusher.publisher import ReplayPublisher
from services.flusher.retries.lanes import CONNECTIONS
from services.flusher.retries.retry_claims import Outbox
from services.flusher.retries.retry_scheduler import Jobs, utc_now
from services.flusher.settings import Settings
from services.flusher.site_queues.clients import open_sites
from services.flusher.site_queues.site_queue_import import Pull
from services.flusher.store import Store

NAME: Final = "flusher"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app; nothing connects before its lifespan begins."""
    settings = settings or load(Settings)
    if not settings.debug.on:
        settings.refuse_weak()
    logs.configure(NAME, settings.log.level)
    state = health.Health()
    prefix = settings.kafka.topic_prefix
    postgres = settings.postgres.model_copy(update={"pool_max": settings.postgres.pool_max + CONNECTIONS})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with (
            export_spans(settings.tracing, NAME),
            open_pool(postgres, NAME) as pool,
            open_publisher(settings.kafka, NAME, state) as opened,
            open_sites(settings.gateway_url, settings.sites()) as sites,
        ):
            state.check("database", check_database(settings.postgres, pool))
            consumer = Consumer(
                build_broker(settings.kafka, NAME),
                topics.consumed_by(NAME),
                topics.GROUPS[NAME],
                state,
                Policy(),
                prefix,
            )
            ledger = Ledger(NAME)
            store = Store(pool, ledger, utc_now)
            reconciler = Reconciler(settings.kafka, pool, ledger)
            publisher = ReplayPublisher(opened, sites.deliver)
            outbox = Outbox(pool, utc_now)
            jobs = Jobs(outbox, publisher, state, settings.cron)
            pull = Pull(pool, outbox, sites, settings.cron, utc_now)
            retention = Retention(pool, outbox, utc_now, settings.retention_days)
            handler = Handler(store, publisher, prefix + topics.GROUPS[NAME])
            async with (
                run_in_background(consumer.run(handler, reconciler), "consumer"),
                run_in_background(jobs.run(), "jobs"),
                run_in_background(pull.run(), "pull"),
                run_in_background(retention.run(), "retention"),
                run_in_background(statistics_job(pool, outbox, utc_now).run(), "statistics"),
            ):
                yield
                await asyncio.gather(jobs.drain(), consumer.drain())

    app = FastAPI(title="FASTCore flusher", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequestLimits)
    app.include_router(health.routes(state))
    return app
