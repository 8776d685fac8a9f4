"""Stores the events of leads, and a delivery of each event for each destination that receives it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from contracts.lead_events import RECEIVED, EventType
from runtime.database.postgres import Connection, load_queries

SQL: Any = load_queries(Path(__file__).with_name("lead_events.sql"))


@dataclass(frozen=True)
class NewEvent:
    """An event to deliver to `destinations`. `body` is the JSON text to send.

    `is_from_table` is True if the event was made from the lead's current row. It is False if the event was
    made from the Kafka record of an accepted lead: the lead may now be spam. `traceparent` is the value in
    the record's headers (W3C Trace Context).
    """

    id: UUID
    type: EventType
    lead_id: UUID
    site: str
    occurred_at: datetime
    body: str = field(repr=False)
    destinations: tuple[str, ...]
    is_from_table: bool = False
    traceparent: str | None = None


def in_order(events: Iterable[NewEvent]) -> list[NewEvent]:
    """Return the events without duplicates, sorted by lead. For each lead, `lead.received` comes first.

    A repeated event is returned once, with the destinations of all repetitions. All processes insert events
    in this order, so that no two processes wait for each other's locks.
    """
    unique = dict[UUID, NewEvent]()
    for event in events:
        if same := unique.get(event.id):
            unique[event.id] = replace(
                same,
                destinations=tuple(dict.fromkeys((*same.destinations, *event.destinations))),
                is_from_table=same.is_from_table or event.is_from_table,
            )
        else:
            unique[event.id] = event
    return sorted(unique.values(), key=lambda event: (event.lead_id, event.type != RECEIVED))


async def insert_events(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Insert events that `in_order` has sorted, and a delivery for each of their destinations.

    The transaction must block erasures. Events of erased leads are left out. If an event is stored already,
    its body stays. Destinations that have no delivery of it yet get one.
    """
    if not events:
        return
    rows = [
        {
            "number": number,
            "id": event.id,
            "type": event.type,
            "lead_id": event.lead_id,
            "site": event.site,
            "occurred_at": event.occurred_at,
            "body": event.body,
            "delivery_count": len(event.destinations),
            "is_from_table": event.is_from_table,
            "traceparent": event.traceparent,
        }
        for number, event in enumerate(events)
    ]
    new = {row["id"] async for row in SQL.insert_events(connection, events=to_json(rows).decode())}
    await SQL.insert_deliveries(connection, **_columns(_pairs(event for event in events if event.id in new)))
    # What a change or the lead's own record has sent to some destinations may be new to others.
    known = (event for event in events if event.id not in new and event.type == RECEIVED)
    await add_deliveries(connection, _pairs(known))


async def add_deliveries(connection: Connection, pairs: Sequence[tuple[UUID, str]]) -> None:
    """Insert a delivery for each pair of a stored event and a destination, if it does not exist yet.

    An event that an erasure has emptied gets none.
    """
    if pairs:
        await SQL.add_deliveries(connection, **_columns(pairs))


def _pairs(events: Iterable[NewEvent]) -> list[tuple[UUID, str]]:
    return [(event.id, name) for event in events for name in event.destinations]


def _columns(pairs: Sequence[tuple[UUID, str]]) -> dict[str, Any]:
    return {"event_ids": [each for each, _ in pairs], "destinations": [name for _, name in pairs]}
