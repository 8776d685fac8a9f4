"""Turns accepted leads into events, and each event into a delivery for every destination that receives it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import ValidationError

from contracts.failures import queue_id_of
from contracts.lead_events import RECEIVED, LeadEvent, event_id_for
from contracts.leads import LeadReceived, LeadStatus
from runtime.failures import Failure
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.handler import Record
from services.webhooks.destinations import Destinations
from services.webhooks.store import NewEvent, Store


class Handler:
    """Stores the deliveries of batches of records. `Sender` sends them."""

    def __init__(self, store: Store, publisher: FailurePublisher, destinations: Destinations) -> None:
        self._store = store
        self._publisher = publisher
        self._destinations = destinations

    async def handle(self, records: Sequence[Record]) -> None:
        """Store the deliveries of these leads. A record that is no lead is only counted.

        The persister reports such a record.
        """
        events, undecodable = list[NewEvent](), list[Record]()
        for record in records:
            try:
                lead = LeadReceived.model_validate_json(record.value or b"")
            except ValidationError:
                undecodable.append(record)
                continue
            if event := self._event_of(lead):
                events.append(event)
        # Two records of one lead in a batch are one event.
        unique: Mapping[UUID, NewEvent] = {event.id: event for event in reversed(events)}
        queue_ids = [queue_id for record in records if (queue_id := queue_id_of(record.headers, "webhooks"))]
        await self._store.save(records, list(unique.values()), undecodable, queue_ids)
        if unique:
            self._destinations.wake.set()

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Publish the failure of one record, and count the record as parked in the ledger."""
        await self._publisher.publish_failure(record, "event", failure)
        await self._store.count_parked(record)

    def _event_of(self, lead: LeadReceived) -> NewEvent | None:
        """Return the event of a lead; None for spam, a held lead, or a lead that no destination receives."""
        if lead.first_status != LeadStatus.RECEIVED:
            return None
        names = self._destinations.receiving(lead.site, RECEIVED)
        if not names:
            return None
        body = LeadEvent.received(lead, self._destinations.sites.display_name(lead.site))
        return NewEvent(
            event_id_for(lead.lead_id, RECEIVED),
            RECEIVED,
            lead.lead_id,
            lead.site,
            lead.occurred_at,
            body.model_dump_json(),
            names,
        )
