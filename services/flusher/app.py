"""The flusher's process: settings, pool, publisher, consumer, jobs, and the order in which they open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from contracts import topics
from runtime import health, logs
from runtime.consumer import Consumer, Policy
from runtime.kafka import build_broker, open_publisher
from runtime.ledger import Ledger
from runtime.postgres import open_pool
from runtime.settings import load
from runtime.tasks import running
from services.flusher.handlers import Handler
from services.flusher.loop import Jobs, scheduled
from services.flusher.publisher import ReplayPublisher
from services.flusher.settings import Settings
from services.flusher.store import Store

NAME: Final = "flusher"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app; nothing connects before its lifespan begins."""
    settings = settings or load(Settings)
    logs.configure(NAME, settings.log.level)
    state = health.Health()
    group = settings.kafka.topic_prefix + topics.GROUPS[NAME]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with (
            open_pool(settings.postgres, NAME) as pool,
            open_publisher(settings.kafka, NAME, state) as publisher,
        ):
            consumer = Consumer(
                build_broker(settings.kafka, NAME),
                topics.consumed_by(NAME),
                topics.GROUPS[NAME],
                state,
                Policy(max_records=100),
                settings.kafka.topic_prefix,
            )
            store, replays = Store(pool, Ledger(NAME, consumer.bounds)), ReplayPublisher(publisher)
            jobs = Jobs(store, replays, state, settings.cron, settings.poll_seconds)
            async with (
                running(consumer.run(Handler(store, replays, group)), "consumer"),
                running(jobs.poll(), "poll"),
                scheduled(jobs, settings.cron),
            ):
                yield
                await consumer.drain()

    app = FastAPI(title="FASTCore flusher", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(health.routes(state))
    return app
