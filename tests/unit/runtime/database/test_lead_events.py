"""The order in which all processes insert events."""

from datetime import UTC, datetime
from uuid import UUID

from contracts.lead_events import RECEIVED, UPDATED, EventType
from runtime.database.lead_events import NewEvent, in_order


def _event(number: int, type_: EventType, lead: int, *names: str, is_from_table: bool = False) -> NewEvent:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return NewEvent(UUID(int=number), type_, UUID(int=lead), "shop", at, "{}", names, is_from_table)


def test_events_are_sorted_by_lead_and_each_lead_is_received_first() -> None:
    events = [_event(1, UPDATED, 9, "a"), _event(2, RECEIVED, 9, "a"), _event(3, RECEIVED, 4, "a")]
    assert [event.id.int for event in in_order(events)] == [3, 2, 1]


def test_an_event_that_occurs_twice_is_one_event_for_all_its_destinations() -> None:
    twice = [_event(1, RECEIVED, 9, "a", "b"), _event(1, RECEIVED, 9, "b", "c", is_from_table=True)]
    assert in_order(twice) == [_event(1, RECEIVED, 9, "a", "b", "c", is_from_table=True)]
