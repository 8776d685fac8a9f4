"""Runs several services in one process: one event loop, one PostgreSQL pool, one Kafka producer."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from runtime import metrics
from runtime.consumer_app import Openers
from runtime.http.server import serve_all
from runtime.service_metrics import separate_services
from runtime.settings import Http, Kafka, Postgres, load
from runtime.shared_connections import SharedConnections
from services.roles import PORTS, service_of


def run_services(names: Sequence[str], *beside: AbstractAsyncContextManager[None]) -> None:
    """Run these services until SIGTERM. `beside` are entered before the first service starts.

    Exits with one line if a setting is invalid. If it is a setting of one service, the line begins with the
    service's name.
    """
    http = load(Http)
    if http.port:
        sys.exit("wrong settings: FASTCORE_HTTP_PORT: use FASTCORE_HTTP_PORTS for several services")
    if unknown := http.ports_by_service.keys() - PORTS.keys():
        sys.exit(f"wrong settings: FASTCORE_HTTP_PORTS: there is no service {min(unknown)!r}")
    separate_services(names, vars(metrics).values())
    shared = SharedConnections(load(Kafka), load(Postgres))
    openers: dict[str, dict[str, Any]] = {
        "ingest": {"open_publisher": shared.open_publisher},
        "admin": {"open_pool": shared.open_pool},
    }
    consumer = {"openers": Openers(shared.open_pool, shared.open_publisher)}
    services = [service_of(name, **openers.get(name, consumer)) for name in names]
    serve_all(services, _open_all(shared.opened(), *beside))


@asynccontextmanager
async def _open_all(*contexts: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for context in contexts:
            await stack.enter_async_context(context)
        yield
