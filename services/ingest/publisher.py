"""Publishes leads and audit entries.

The caller waits until Kafka acknowledges a lead. Audit entries are published in the background.
"""

import asyncio
import contextlib
import time
from typing import Final

from contracts import headers as h
from contracts import topics
from contracts.audit import AuditRecorded
from contracts.lead_record import LeadRecord
from runtime import metrics
from runtime.failures import Failure
from runtime.kafka.publisher import Publisher
from runtime.tracing.spans import producer_span

AUDIT_QUEUE_SIZE: Final = 100
AUDIT_TIMEOUT_SECONDS: Final = 5.0
# At most ten entries per second: the audit log is never pruned, and anybody can send requests to reject.
AUDIT_PAUSE_SECONDS: Final = 0.1


class LeadPublisher:
    """Publishes lead records, each within a time budget."""

    def __init__(self, kafka: Publisher, budget_seconds: float) -> None:
        self._kafka = kafka
        self._budget_seconds = budget_seconds

    @property
    def connected(self) -> bool:
        """True if a record can be sent without waiting for a connection."""
        return self._kafka.connected

    async def check(self) -> None:
        """Raise `DependencyUnavailable` unless Kafka accepts records now. The caller sets a timeout."""
        await self._kafka.check()

    async def publish(self, record: LeadRecord) -> None:
        """Return once every in-sync replica has the record.

        Raises `DependencyUnavailable` if that takes longer than the budget, and `PermanentError` if the topic
        never accepts the record.
        """
        began = time.perf_counter()
        try:
            await self._kafka.send(
                topics.RECEIVED.name,
                key=record.key,
                value=record.value,
                headers=record.headers,
                seconds=self._budget_seconds,
            )
        finally:
            metrics.PUBLISH_SECONDS.observe(time.perf_counter() - began)


class RefusedLeadPublisher:
    """Publishes refused leads, which somebody must correct, to `leads.failed.v1`. Each has a time budget."""

    def __init__(self, kafka: Publisher, budget_seconds: float) -> None:
        self._kafka = kafka
        self._budget_seconds = budget_seconds

    async def publish(self, record: LeadRecord) -> bool:
        """Return True once every in-sync replica has the record.

        Raises `DependencyUnavailable` if that takes longer than the budget, and `PermanentError` if the topic
        never accepts the record. Refused leads are not spooled: the form builder repeats its request.
        """
        with producer_span(topics.FAILED.name, record.headers, record.key) as carried:
            await self._kafka.send(
                topics.FAILED.name,
                key=record.key,
                value=record.value,
                headers=carried,
                seconds=self._budget_seconds,
            )
        metrics.PARKED.labels(final="false").inc()
        return True


class AuditPublisher:
    """Publishes audit entries in the background, at a limited rate.

    Counts the entries that it has to drop. The limit is shared by the workers of the gateway.
    """

    def __init__(self, kafka: Publisher, workers: int = 1) -> None:
        self._kafka = kafka
        self._queue = asyncio.Queue[AuditRecorded](AUDIT_QUEUE_SIZE)
        self._pause_seconds = AUDIT_PAUSE_SECONDS * workers

    def enqueue(self, entry: AuditRecorded) -> None:
        """Queue an entry without waiting. If the queue is full, drop the entry and count it as dropped."""
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            metrics.AUDIT_DROPPED.inc()

    async def run(self) -> None:
        """Publish queued entries until cancelled."""
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
        """Publish queued entries for at most `seconds`, then count the remaining entries as dropped."""
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
            seconds=AUDIT_TIMEOUT_SECONDS,
        )
