"""The persister's process: its settings, and the handler that stores what the consumer reads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI

from contracts import topics
from runtime.consumer_app import OWN, Openers, Resources, Stage, create_consumer_app
from runtime.database.circuit_breaker import CircuitBreaker
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.policy import Policy
from runtime.kafka.reconcile import Reconciler
from runtime.settings import load
from services.persister.canaries import CanaryRehearsals
from services.persister.handlers import Handler
from services.persister.settings import Settings
from services.persister.store import Store

NAME: Final = "persister"
FAILURE_SECONDS: Final = 10.0


def create_app(settings: Settings | None = None, openers: Openers = OWN) -> FastAPI:
    """Return the app. It opens no connection before its lifespan begins."""
    settings = settings or load(Settings)
    return create_consumer_app(
        NAME,
        settings,
        topics.consumed_by(NAME),
        topics.GROUPS[NAME],
        partial(_open_stage, settings),
        openers=openers,
        policy=Policy(max_records=settings.batch_max_records),
    )


@asynccontextmanager
async def _open_stage(settings: Settings, resources: Resources) -> AsyncIterator[Stage]:
    store = Store(resources.pool, resources.ledger)
    publisher = FailurePublisher(resources.publisher, NAME, resources.group, FAILURE_SECONDS)
    canaries = CanaryRehearsals(resources.pool, store)
    handler = Handler(store, publisher, CircuitBreaker(NAME, resources.pool), canaries.queue)
    reconciler = Reconciler(settings.kafka, resources.pool, resources.ledger)
    yield Stage(handler, reconciler, jobs={"canaries": canaries.queue.run})
