"""The persister's process: settings, pool, publisher, consumer, and the order in which they open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

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
from services.persister.handlers import Handler
from services.persister.publisher import FailurePublisher
from services.persister.settings import Settings
from services.persister.store import Store

NAME: Final = "persister"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app; nothing connects before its lifespan begins."""
    settings = settings or load(Settings)
    logs.configure(NAME, settings.log.level)
    state = health.Health()
    group = settings.kafka.topic_prefix + topics.GROUPS[NAME]

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
                Policy(max_records=settings.batch_max_records),
                settings.kafka.topic_prefix,
            )
            ledger = Ledger(NAME)
            store = Store(pool, ledger)
            reconciler = Reconciler(settings.kafka, pool, ledger)
            handler = Handler(store, FailurePublisher(publisher, group), CircuitBreaker(NAME, pool))
            async with run_in_background(consumer.run(handler, reconciler), "consumer"):
                yield
                await consumer.drain()

    app = FastAPI(title="FASTCore persister", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequestLimits)
    app.include_router(health.routes(state))
    return app
