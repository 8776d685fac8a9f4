"""The one PostgreSQL pool and the one Kafka producer of a process that runs several services."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from runtime.database.pool_share import PoolShare
from runtime.database.postgres import Pool, open_pool, report_pool
from runtime.health import Health
from runtime.kafka.publisher import Publisher, add_check, run_publisher
from runtime.settings import Kafka, Postgres

NAME: Final = "shared"
"""The name in PostgreSQL's `application_name` and in the producer's client id."""

# At least as many shares as there are services. Each share has a limit of its own.
_SHARES: Final = 8


class SharedConnections:
    """The pool and the producer of a process. Services open them as they would open their own.

    Use both methods only inside `opened`; outside of it they raise `RuntimeError`.
    """

    def __init__(self, kafka: Kafka, postgres: Postgres) -> None:
        self._kafka, self._postgres = kafka, postgres
        self._pool: Pool | None = None
        self._publisher: Publisher | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the pool and the producer open while the context lasts. They connect in the background."""
        settings = self._postgres.model_copy(update={"pool_max": _SHARES * self._postgres.pool_max})
        async with AsyncExitStack() as stack:
            self._pool = await stack.enter_async_context(open_pool(settings, NAME))
            self._publisher = await stack.enter_async_context(run_publisher(self._kafka, NAME))
            yield

    @asynccontextmanager
    async def open_pool(self, settings: Postgres, name: str) -> AsyncIterator[Pool]:  # noqa: ARG002
        """Yield this service's share of the pool: as many connections as its own pool would have."""
        if self._pool is None:
            raise RuntimeError("the shared pool is not open")
        share = PoolShare(self._pool, settings.pool_max)
        report_pool(share, share.get_size)
        yield share

    @asynccontextmanager
    async def open_publisher(
        self,
        settings: Kafka,  # noqa: ARG002
        client_id: str,  # noqa: ARG002
        health: Health,
    ) -> AsyncIterator[Publisher]:
        """Yield the publisher of the process, and add its check to the service's health."""
        if self._publisher is None:
            raise RuntimeError("the shared producer is not open")
        add_check(health, self._publisher)
        yield self._publisher
