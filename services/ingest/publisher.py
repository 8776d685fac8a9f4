"""The gateway's way to Kafka: leads with an answer awaited, audit entries on a best effort. No decisions."""

import asyncio
import contextlib
from typing import Final

from contracts import headers as h
from contracts import topics
from contracts.audit import AuditRecorded
from runtime import metrics
from runtime.failures import Failure
from runtime.kafka.clients import Publisher
from services.ingest.lead_record import LeadRecord

AUDIT_QUEUE: Final = 100
AUDIT_SECONDS: Final = 5.0
# Ten entries a second at most: the audit log is never deleted from, and anyone may be refused.
AUDIT_PAUSE_SECONDS: Final = 0.1


class LeadPublisher:
    """Publishes a lead's record as it was built."""

    def __init__(self, kafka: Publisher, budget_seconds: float) -> None:
        self._kafka = kafka
        self._budget_seconds = budget_seconds

    @property
    def connected(self) -> bool:
        """Return False where a record would wait for a connection first."""
        return self._kafka.connected

    async def check(self) -> None:
        """Return if Kafka takes records now. Raises `DependencyUnavailable`. The caller bounds it."""
        await self._kafka.check()

    async def publish(self, record: LeadRecord) -> None:
        """Wait for every in-sync replica. Raises `DependencyUnavailable` if that exceeds the budget."""
        with metrics.PUBLISH_SECONDS.time():
            await self._kafka.send(
                topics.RECEIVED.name,
                key=record.key,
                value=record.value,
                headers=record.headers,
                seconds=self._budget_seconds,
            )


class AuditPublisher:
    """Entries about refused requests, published behind the answers: bounded, slow, drops counted."""

    def __init__(self, kafka: Publisher) -> None:
        self._kafka = kafka
        self._queue = asyncio.Queue[AuditRecorded](AUDIT_QUEUE)
        self._pause_seconds = AUDIT_PAUSE_SECONDS

    def note(self, entry: AuditRecorded) -> None:
        """Take an entry, or drop and count it; never waits."""
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            metrics.AUDIT_DROPPED.inc()

    async def run(self) -> None:
        """Publish what was taken, until cancelled."""
        while True:
            entry = await self._queue.get()
            try:
                await self._publish(entry)
            except Failure:
                metrics.AUDIT_DROPPED.inc()
            finally:
                self._queue.task_done()
            await asyncio.sleep(self._pause_seconds)

    async def drain(self, seconds: float) -> None:
        """Publish what is left, as far as that goes in this time."""
        self._pause_seconds = 0
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), seconds)
        metrics.AUDIT_DROPPED.inc(self._queue.qsize())

    async def _publish(self, entry: AuditRecorded) -> None:
        key = str(entry.lead_id) if entry.lead_id else entry.request_id or str(entry.event_id)
        await self._kafka.send(
            topics.AUDIT.name,
            key=key.encode(),
            value=entry.model_dump_json().encode(),
            headers=[(h.CONTENT_TYPE, b"application/json")],
            seconds=AUDIT_SECONDS,
        )
