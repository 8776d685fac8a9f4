"""One worker of a gateway. It reports the readiness, status and metrics of all workers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import APIRouter

from runtime import health
from runtime.http.rate_limiter import RateLimiter
from runtime.tasks import run_in_background
from runtime.worker import Worker
from services.ingest.lead_acceptance import LeadAcceptance
from services.ingest.single_use import SingleUse
from services.ingest.spool.spool import Spool
from services.ingest.workers.broadcast import Broadcast
from services.ingest.workers.connection import run_connection
from services.ingest.workers.gateway_health import GatewayHealth, merge_status
from services.ingest.workers.metrics_page import workers_page
from services.ingest.workers.other_workers import OtherWorkers, State
from services.ingest.workers.shared_limits import share_accepted_leads, share_limits, share_used_keys


class GatewayWorker:
    """The worker that this process is. `own_status` returns the status of this process alone."""

    def __init__(
        self,
        worker: Worker,
        readiness: health.Health,
        spool: Spool,
        own_status: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._worker = worker
        self._readiness = readiness
        self._spool = spool
        self._own_status = own_status
        self._workers = OtherWorkers(worker, self._own_state)
        self._broadcast = Broadcast(worker)

    async def _own_state(self) -> State:
        # At the same time: together they may take longer than a probe waits.
        _, status = await asyncio.gather(self._readiness.refresh(), self._own_status())
        self._spool.write_gauges()
        return {"readiness": self._readiness.report(), "status": status}

    async def status(self) -> dict[str, Any]:
        """Return the status of the gateway."""
        return merge_status(await self._workers.read(), *self._spool.total())

    def routes(self, reported: health.Health) -> APIRouter:
        """Return `/livez` of this process, and `/readyz` and `/metrics` of the gateway."""
        page = partial(workers_page, self._worker)
        return health.routes(GatewayHealth(self._workers), reported, write_metrics=page)

    def share(
        self,
        acceptance: LeadAcceptance,
        limiters: Mapping[str, RateLimiter],
        used: Mapping[str, SingleUse],
    ) -> None:
        """Share rate limits, accepted leads and used keys with the other workers.

        `limiters` are those of the endpoints; those of `acceptance` are added to them. `used`
        has the keys that may be used once.
        """
        limiters = {**limiters, "address": acceptance.ip_limiter, "email": acceptance.email_limiter}
        share_limits(self._broadcast, limiters, acceptance.monotonic)
        share_accepted_leads(self._broadcast, acceptance.idempotency)
        share_used_keys(self._broadcast, used)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Answer the other workers and the supervisor while the context lasts."""
        async with (
            run_in_background(run_connection(self._worker.supervisor), "supervisor"),
            self._workers.serve(),
            self._broadcast.run(),
        ):
            yield
