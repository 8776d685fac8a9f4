"""The app of a service that consumes Kafka: it opens the pool, the publisher and the consumer, in this order.

Each service defines what it does with the records, and which background jobs it runs beside the consumer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fastapi import FastAPI

from runtime import health, logs
from runtime.database.ledger import Ledger
from runtime.database.postgres import OpenPool, Pool, open_pool
from runtime.database.readiness import check_database
from runtime.http.request_limits import RequestLimits
from runtime.kafka.broker import build_broker
from runtime.kafka.consumer import Consumer
from runtime.kafka.handler import Handler
from runtime.kafka.policy import Policy
from runtime.kafka.publisher import OpenPublisher, Publisher, open_publisher
from runtime.kafka.reconcile import Reconciler
from runtime.settings import Kafka, Log, Postgres, Tracing
from runtime.tasks import run_in_background
from runtime.tracing.spans import export_spans


class ConsumerSettings(Protocol):
    """The sections that the settings of every consumer service have."""

    @property
    def kafka(self) -> Kafka: ...  # noqa: D102
    @property
    def postgres(self) -> Postgres: ...  # noqa: D102
    @property
    def log(self) -> Log: ...  # noqa: D102
    @property
    def tracing(self) -> Tracing: ...  # noqa: D102


@dataclass(frozen=True)
class Resources:
    """The objects that the app opens for its service. `group` is the consumer group's prefixed name."""

    pool: Pool
    publisher: Publisher
    consumer: Consumer
    ledger: Ledger
    health: health.Health
    group: str


@dataclass(frozen=True)
class Stage:
    """What a service runs: its handler of records, and background jobs by name.

    At shutdown, the app awaits `drain`, if there is one, before it cancels the jobs.
    """

    handler: Handler
    reconciler: Reconciler
    jobs: Mapping[str, Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=dict)
    drain: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True)
class Openers:
    """How a service opens its pool and its publisher: its own, or those of the process."""

    open_pool: OpenPool = open_pool
    open_publisher: OpenPublisher = open_publisher


OWN: Final = Openers()

OpenStage = Callable[[Resources], AbstractAsyncContextManager[Stage]]


def create_consumer_app(
    name: str,
    settings: ConsumerSettings,
    topics: Collection[str],
    group: str,
    open_stage: OpenStage,
    *,
    policy: Policy,
    openers: Openers,
    extra_connections: int = 0,
) -> FastAPI:
    """Return the app of one consumer service. It connects to nothing before its lifespan begins.

    `topics` and `group` are named without the topic prefix. `openers` open the pool and the publisher.
    `extra_connections` is added to the pool's maximum size in the settings.
    """
    logs.configure(name, settings.log.level)
    state = health.Health()
    prefix = settings.kafka.topic_prefix
    postgres = settings.postgres.model_copy(
        update={"pool_max": settings.postgres.pool_max + extra_connections}
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with (
            export_spans(settings.tracing, name),
            openers.open_pool(postgres, name) as pool,
            openers.open_publisher(settings.kafka, name, state) as publisher,
            AsyncExitStack() as stack,
        ):
            state.check("database", check_database(postgres, pool))
            consumer = Consumer(build_broker(settings.kafka, name), topics, group, state, policy, prefix)
            resources = Resources(pool, publisher, consumer, Ledger(name), state, prefix + group)
            stage = await stack.enter_async_context(open_stage(resources))
            consuming = run_in_background(consumer.run(stage.handler, stage.reconciler), "consumer")
            await stack.enter_async_context(consuming)
            for job, run in stage.jobs.items():
                await stack.enter_async_context(run_in_background(run(), job))
            yield
            await asyncio.gather(consumer.drain(), *([stage.drain()] if stage.drain else []))

    app = FastAPI(title=f"FASTCore {name}", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequestLimits)
    app.include_router(health.routes(state))
    return app
