"""Stores each canary in a transaction of its own that is rolled back, and writes the results.

A fault of this transaction never harms, delays or doubles a lead. No row of `lead_inbox` exists.
"""

import asyncio

from contracts.leads import LeadReceived
from runtime.canary_queue import CanaryQueue
from runtime.database.canaries import REHEARSAL_SECONDS, CanaryResult, CanaryResults
from runtime.database.postgres import Pool
from runtime.kafka.handler import Record
from services.persister.store import Store


class CanaryRehearsals:
    """Handles canaries beside the leads. It stores one at a time: the leads need the pool's connections."""

    def __init__(self, pool: Pool, store: Store) -> None:
        self._store = store
        self._results = CanaryResults(pool)
        self._turn = asyncio.Lock()
        self.queue = CanaryQueue(self.handle)

    async def handle(self, record: Record, canary: LeadReceived) -> None:
        """Store a canary, undo that, and write the results."""
        await self._results.write(CanaryResult(canary.lead_id, "persister"))
        reason = await self._rehearse(record, canary)
        await self._results.write(CanaryResult(canary.lead_id, "postgresql", reason))

    async def _rehearse(self, record: Record, canary: LeadReceived) -> str:
        try:
            async with asyncio.timeout(REHEARSAL_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            return "the database was busy with the canaries before"
        try:
            return await self._store.rehearse(record, canary)
        finally:
            self._turn.release()
