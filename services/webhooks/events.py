"""Which events a record causes, and which destinations receive each. No I/O, no clock."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from contracts.lead_events import RECEIVED, UNSENT, EventType, LeadChanged, LeadEvent, event_id_for
from contracts.leads import LeadReceived, LeadStatus
from services.webhooks.destinations import Destinations


@dataclass(frozen=True)
class NewEvent:
    """An event to deliver to `destinations`. `body` is the JSON text that they receive."""

    id: UUID
    type: EventType
    lead_id: UUID
    site: str
    occurred_at: datetime
    body: str = field(repr=False)
    destinations: tuple[str, ...]


def decode(value: bytes | None) -> LeadReceived | LeadChanged | None:
    """Return the lead or the change that a record has; None if it has neither."""
    for model in (LeadReceived, LeadChanged):
        try:
            return model.model_validate_json(value or b"")
        except ValidationError:
            continue
    return None


def events_of_lead(lead: LeadReceived, destinations: Destinations) -> list[NewEvent]:
    """Return the event of an accepted lead; none of spam, a held lead or one that no destination takes."""
    if lead.first_status != LeadStatus.RECEIVED:
        return []
    body = LeadEvent.received(lead, destinations.sites.display_name(lead.site))
    names = destinations.receiving(lead.site, RECEIVED)
    return _received(lead.lead_id, lead.site, lead.occurred_at, body, names)


def events_of_change(
    change: LeadChanged, row: Mapping[str, Any], known: Collection[str], destinations: Destinations
) -> list[NewEvent]:
    """Return the events of a change, in their order.

    `row` is the lead's row of `lead_inbox` as it is now. `known` are the destinations that have a delivery of
    the lead.

    A destination that lists `lead.received` receives it before any other event of the lead. The lead's own
    record may still wait on its topic, so the event is made of the row here. A released lead goes to all that
    list `lead.received`. If the lead is spam or held by now, only those that know it hear of the change.
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
    return events


def in_order(events: Iterable[NewEvent]) -> list[NewEvent]:
    """Return each event once, for all its destinations, sorted by lead, with `lead.received` first.

    All processes insert events in this order, so that no two wait for each other.
    """
    unique = dict[UUID, NewEvent]()
    for event in events:
        if same := unique.get(event.id):
            names = dict.fromkeys((*same.destinations, *event.destinations))
            unique[event.id] = replace(same, destinations=tuple(names))
        else:
            unique[event.id] = event
    return sorted(unique.values(), key=lambda event: (event.lead_id, event.type != RECEIVED))


def _received(
    lead_id: UUID, site: str, received_at: datetime, body: LeadEvent, names: tuple[str, ...]
) -> list[NewEvent]:
    if not names:
        return []
    event_id = event_id_for(lead_id, RECEIVED)
    return [NewEvent(event_id, RECEIVED, lead_id, site, received_at, body.model_dump_json(), names)]
