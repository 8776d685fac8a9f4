"""Who disabled a destination, and which destinations know of an erasure."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from services.admin.rules.destinations import disabled_by, erasure_notices, newest_events_first
from services.admin.schemas.destinations import LeadDelivery

NOW = datetime.now(UTC)


def _delivery(name: str, state: str, event: str = "lead.erased") -> LeadDelivery:
    values: dict[str, Any] = dict.fromkeys(LeadDelivery.model_fields) | {
        "event_id": uuid4(), "event": event, "destination": name, "state": state, "attempts": 1,
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return LeadDelivery(**values)


def test_an_admins_decision_differs_from_a_failure() -> None:
    assert disabled_by("disabled by ann") == "ann"
    assert disabled_by("destination answered 410") is None
    assert disabled_by(None) is None


def test_each_destination_is_informed_pending_or_failed() -> None:
    states = {
        "crm": "delivered", "a": "pending", "b": "failed", "c": "sending", "dead": "dead", "no": "suppressed",
    }  # fmt: skip
    deliveries = [_delivery(name, state) for name, state in states.items()]
    notices = erasure_notices([*deliveries, _delivery("other", "delivered", "lead.received")])
    assert [each.destination for each in notices.informed] == ["crm"]
    assert [each.destination for each in notices.pending] == ["a", "b", "c"]
    assert [each.destination for each in notices.failed] == ["dead", "no"]
    assert notices.count == len(states)
    assert erasure_notices([]).count == 0


def test_the_newest_event_comes_first_with_its_destinations_in_order() -> None:
    names = ("a", "b")
    old = [_delivery(name, "delivered", "lead.received") for name in names]
    new = [_delivery(name, "pending") for name in names]
    events = {"lead.received": uuid4(), "lead.erased": uuid4()}
    same = [each.model_copy(update={"event_id": events[each.event]}) for each in (*old, *new)]
    shown = [(each.event, each.destination) for each in newest_events_first(same)]
    assert shown == [
        ("lead.erased", "a"), ("lead.erased", "b"), ("lead.received", "a"), ("lead.received", "b"),
    ]  # fmt: skip
