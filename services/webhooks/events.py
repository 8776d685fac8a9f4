"""Decides which events a record causes, and which destinations receive each event. No I/O, no clock."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from contracts import headers as h
from contracts import topics
from contracts.lead_events import (
    ALERT_FAILED,
    RECEIVED,
    UNSENT,
    LeadChanged,
    LeadEvent,
    alert_failed_event,
    event_id_for,
)
from contracts.leads import LeadReceived, LeadStatus
from runtime.database.lead_events import NewEvent
from runtime.kafka.handler import Record
from services.webhooks.destinations import Destinations


def decode(record: Record) -> LeadReceived | LeadChanged | None:
    """Return the lead or the change that a record contains, or None if the record contains neither.

    The topic decides which of the two is expected. For a retry, this is the topic of the original record.
    """
    topic = record.topic
    if topic.endswith(topics.RETRY_WEBHOOKS.name):
        topic = h.text(record.headers, h.ORIGINAL_TOPIC) or topic
    model = LeadChanged if topic.endswith(topics.CHANGED.name) else LeadReceived
    try:
        return model.model_validate_json(record.value or b"")
    except ValidationError:
        return None


def events_of_lead(lead: LeadReceived, destinations: Destinations) -> list[NewEvent]:
    """Return the event of an accepted lead.

    The list is empty if the lead is spam or held, or if no destination receives it.
    """
    if lead.first_status != LeadStatus.RECEIVED:
        return []
    body = LeadEvent.received(lead, destinations.sites.display_name(lead.site))
    names = destinations.receiving(lead.site, RECEIVED)
    return _received(lead.lead_id, lead.site, lead.occurred_at, body, names)


def events_of_failed_alerts(change: LeadChanged, destinations: Destinations) -> list[NewEvent]:
    """Return the event that reports failed team notifications. `change` has the type `lead.alert_failed`.

    The list is empty if no destination receives it. The event has no data of the leads, so it needs no row.
    """
    names = destinations.receiving(change.site, ALERT_FAILED)
    if not names:
        return []
    body = alert_failed_event(change, destinations.sites.display_name(change.site)).model_dump_json()
    return [
        NewEvent(
            change.event_id, ALERT_FAILED, change.lead_id, change.site, change.occurred_at, body, names, True
        )
    ]


def events_of_change(
    change: LeadChanged, row: Mapping[str, Any], known: Collection[str], destinations: Destinations
) -> list[NewEvent]:
    """Return the events of a change of a lead, in the order in which they are sent.

    `row` is the lead's current row of `lead_inbox`. `known` are the destinations that already have a delivery
    of the lead. The events depend on the lead's status:

    - If the lead is now spam or held, only the destinations in `known` get the change.
    - If the lead is released from spam or hold, every destination that lists `lead.received` gets that event
      first.
    - In all other cases, the change is sent after `lead.received` to each destination that lists both events.
      This is necessary because the record of the accepted lead may not be processed yet.

    `lead.received` is made from `row`. If it is stored already, it is not stored again.
    """
    site = row["site"]
    names = destinations.receiving(site, change.type)
    events = list[NewEvent]()
    if row["status"] in UNSENT:
        names = tuple(name for name in names if name in known)
    else:
        first = destinations.receiving(site, RECEIVED)
        if not change.is_release:
            first = tuple(name for name in first if name in names)
        body = LeadEvent.released(row, destinations.sites.display_name(site))
        events += _received(row["id"], site, row["created_at_utc"], body, first)
    if names:
        text = LeadEvent.changed(change, row, destinations.sites.display_name(site)).model_dump_json()
        events.append(
            NewEvent(change.event_id, change.type, row["id"], site, change.occurred_at, text, names)
        )
    return [replace(event, is_from_table=True) for event in events]


def _received(
    lead_id: UUID, site: str, received_at: datetime, body: LeadEvent, names: tuple[str, ...]
) -> list[NewEvent]:
    if not names:
        return []
    event_id = event_id_for(lead_id, RECEIVED)
    return [NewEvent(event_id, RECEIVED, lead_id, site, received_at, body.model_dump_json(), names)]
