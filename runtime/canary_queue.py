"""Handles canaries beside the records of a consumer, so that a slow test never holds up a lead."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from contracts.canary import is_current
from contracts.leads import LeadReceived
from runtime import metrics
from runtime.failures import Failure
from runtime.logs import logger

WAITING_MAX: Final = 1000
CONCURRENCY: Final = 8


class CanaryQueue:
    """Calls `work` for each canary. A canary whose process ends has no result, and the next one has."""

    def __init__(self, work: Callable[[LeadReceived], Awaitable[None]]) -> None:
        self._work = work
        self._waiting = asyncio.Queue[LeadReceived](WAITING_MAX)
        self._log = logger("canary")

    def add(self, canaries: Iterable[LeadReceived]) -> None:
        """Queue canaries without waiting. Beyond `WAITING_MAX`, they are dropped, and so are late ones."""
        now = datetime.now(UTC)
        for each in canaries:
            if is_current(each, now) and not self._waiting.full():
                self._waiting.put_nowait(each)

    async def run(self) -> None:
        """Handle canaries, at most `CONCURRENCY` at once, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONCURRENCY):
                tasks.create_task(self._run_worker())

    async def _run_worker(self) -> None:
        while True:
            canary = await self._waiting.get()
            try:
                await self._work(canary)
            except Failure as failure:
                self._log.warning("canary not handled", canary=str(canary.lead_id), reason=failure.reason)
            except Exception:  # noqa: BLE001 - the next canary is handled all the same
                metrics.BUGS.inc()
                self._log.exception("unexpected error, canary not handled", canary=str(canary.lead_id))
