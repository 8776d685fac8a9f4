"""Turns accepted leads and changes into events, and each event into a delivery for each destination."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from contracts import topics
from contracts.canary import canary_of
from contracts.failures import queue_id_of
from contracts.lead_events import ALERT_FAILED, LeadChanged
from contracts.leads import LeadReceived
from contracts.reasons import Reason
from runtime.canary_queue import CanaryQueue
from runtime.database.canaries import CanaryResult
from runtime.database.lead_events import NewEvent
from runtime.failures import Failure, PermanentError
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.handler import Record
from runtime.tracing.spans import traceparent_of
from services.webhooks.destinations import Destinations
from services.webhooks.events import decode, events_of_change, events_of_failed_alerts, events_of_lead
from services.webhooks.store import Store


class Handler:
    """Stores the webhook deliveries that Kafka records cause. `Sender` sends the stored deliveries."""

    def __init__(
        self,
        store: Store,
        publisher: FailurePublisher,
        destinations: Destinations,
        canaries: CanaryQueue | None = None,
    ) -> None:
        self._store = store
        self._canaries = canaries
        self._publisher = publisher
        self._destinations = destinations

    async def handle(self, records: Sequence[Record]) -> None:
        """Store the deliveries of these records. An undecodable record is counted, and has no delivery.

        If the undecodable record is a change of a lead, this method also publishes its failure. The persister
        publishes the failure of an undecodable lead.
        """
        events, changes, undecodable = list[NewEvent](), list[LeadChanged](), list[Record]()
        canaries = list[tuple[Record, LeadReceived]]()
        traces = dict[UUID, str | None]()  # by the change's event id
        for record in records:
            decoded = decode(record)
            traceparent = traceparent_of(record.headers)
            if isinstance(decoded, LeadReceived) and canary_of(record.headers):
                canaries.append((record, decoded))
            elif isinstance(decoded, LeadReceived):
                found = events_of_lead(decoded, self._destinations)
                events += [replace(event, traceparent=traceparent) for event in found]
            elif decoded and decoded.type == ALERT_FAILED:
                found = events_of_failed_alerts(decoded, self._destinations)
                events += [replace(event, traceparent=traceparent) for event in found]
            elif decoded:
                changes.append(decoded)
                traces[decoded.event_id] = traceparent
            else:
                undecodable.append(record)
        queue_ids = [queue_id for record in records if (queue_id := queue_id_of(record.headers, "webhooks"))]
        plan = partial(self._plan, traces)
        if await self._store.save(records, events, changes, plan, undecodable, queue_ids):
            self._destinations.wake.set()
        if self._canaries:
            self._canaries.add(canaries)
        for record in undecodable:
            if record.topic.endswith(topics.CHANGED.name):
                failure = PermanentError(Reason.UNDECODABLE)
                await self._publisher.publish_failure(record, "event", failure)

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Publish the failure of one record, and count the record as `parked` in the ledger.

        A canary's failure is only written down.
        """
        if canary_id := canary_of(record.headers):
            await self._store.count_canary(record, CanaryResult(canary_id, "webhooks", failure.reason))
            return
        await self._publisher.publish_failure(record, "event", failure)
        await self._store.count_failure(record)

    def _plan(
        self,
        traces: Mapping[UUID, str | None],
        change: LeadChanged,
        row: Mapping[str, Any],
        known: Collection[str],
    ) -> list[NewEvent]:
        found = events_of_change(change, row, known, self._destinations)
        return [replace(event, traceparent=traces[change.event_id]) for event in found]
