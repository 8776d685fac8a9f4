"""The notifier's process: settings, pool, publisher, mailer, consumer, and the order in which they open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

from fastapi import FastAPI

from contracts import topics
from runtime import health, logs
from runtime.database.breaker import CircuitBreaker
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
from services.notifier.handlers import Handler
from services.notifier.mail.message import Identity
from services.notifier.publisher import FailurePublisher
from services.notifier.recover_mail_outcomes import Rebuild
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import open_mailer
from services.notifier.smtp.token_bucket import TokenBucket
from services.notifier.store import Store

NAME: Final = "notifier"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app; nothing connects before its lifespan begins."""
    settings = settings or load(Settings)
    logs.configure(NAME, settings.log.level)
    state = health.Health()
    prefix = settings.kafka.topic_prefix
    identity = Identity(settings.from_email, settings.sender_name, settings.admins, settings.admin_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with (
            export_spans(settings.tracing, NAME),
            open_pool(settings.postgres, NAME) as pool,
            open_publisher(settings.kafka, NAME, state) as publisher,
        ):
            state.check("database", check_database(settings.postgres, pool))
            consumer = Consumer(
                build_broker(settings.kafka, NAME),
                topics.consumed_by(NAME),
                topics.GROUPS[NAME],
                state,
                # A stop waits for a mail whose body is on its way, and for nothing longer.
                Policy(
                    max_records=settings.batch_max_records, drain_seconds=settings.mail_timeout_seconds + 1
                ),
                prefix,
            )
            ledger = Ledger(NAME)
            store = Store(
                pool,
                ledger,
                uuid4(),
                identity,
                lease_seconds=settings.lease_seconds,
                limit=settings.welcomes_per_day,
                site_limit=settings.welcomes_per_site_and_hour,
            )
            # Mails that were sent stay sent: the group does not go back for them. A retry that a new log
            # does not hold any more is sent again by the flusher; an old one must not be.
            rebuild = Rebuild(settings.kafka, pool, ledger, identity)
            by_time = [topics.RETRY_NOTIFIER.name]
            reconciler = Reconciler(settings.kafka, pool, ledger, rebuild.run, by_time)
            async with open_mailer(settings, state, consumer.stopping) as mailer:
                handler = Handler(
                    store,
                    mailer,
                    FailurePublisher(publisher, prefix + topics.GROUPS[NAME]),
                    identity,
                    consumer.stopping,
                    CircuitBreaker(NAME, pool),
                    TokenBucket(settings.mails_per_second),
                    connections=settings.connections,
                    holds=consumer.holds,
                )
                async with run_in_background(consumer.run(handler, reconciler), "consumer"):
                    yield
                    await consumer.drain()

    app = FastAPI(title="FASTCore notifier", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequestLimits)
    app.include_router(health.routes(state))
    return app
