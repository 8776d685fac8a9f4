"""The checker of deliveries accepts a consistent scenario, and names each violation in another."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.arrivals import Arrivals, Event
from tests.faults.delivery_checker import check_deliveries
from tests.faults.injections.poison_records import Poisoner
from tests.faults.load import Body, Lead
from tests.faults.observed_state import ObservedState


class Scenario:
    """A lead that was changed twice, one that was erased, one erased before it was sent, one spam."""

    def __init__(self) -> None:
        self.leads: dict[str, Lead] = {}
        self.observed = ObservedState(arrivals=Arrivals())
        self.changed = self.lead("changed", "contacted", "processing", "contacted")
        self.erased = self.lead("erased", "erased", "won")
        self.unsent = self.lead("unsent", "erased")
        self.spam = self.lead("spam", "spam")
        self.changed.changes = [("processing", 200), ("contacted", 200)]
        for name in ("received", "processing", "contacted"):
            self.arrive(self.changed, name)
        for name in ("received", "won", "erased"):
            self.arrive(self.erased, name)
        self.row("unsent received", self.unsent, "suppressed", 0)
        self.observed.wanted = len(self.observed.destination_rows)
        self.observed.counted.update({"webhook_event": 7, "webhook_delivery": 7})
        self.observed.counted.update({"outbox written": 3, "outbox published": 3})

    @property
    def arrivals(self) -> Arrivals:
        assert self.observed.arrivals
        return self.observed.arrivals

    def lead(self, key: str, status: str, *changes: str) -> Lead:
        lead = Lead(key, [Body(f"Text {key}")], f"{key}@mail.example", spam=status == "spam")
        self.leads[lead.id] = lead
        message = "" if status == "erased" else lead.bodies[0].message
        self.observed.inbox[lead.id] = {"status": status, "message": message}
        if changes:
            self.observed.changes[lead.id] = list(changes)
            self.observed.published[lead.id] = [(f"{key} {name}", name) for name in changes]
        return lead

    def arrive(self, lead: Lead, name: str) -> None:
        event_id = f"{lead.key} {name}"
        kind = f"lead.{name}" if name in ("received", "erased") else "lead.status_changed"
        data = {"id": lead.id, "message": lead.bodies[0].message}
        data |= {"to_status": name} if kind == "lead.status_changed" else {}
        body = json.dumps({"type": kind, "data": data})
        self.arrivals.note_request(event_id, body)
        self.arrivals.process(event_id, body)
        self.row(event_id, lead, "delivered", 1, kind)

    def row(self, event_id: str, lead: Lead, state: str, attempts: int, kind: str = "lead.received") -> None:
        row = {"event_id": event_id, "lead_id": lead.id, "type": kind, "state": state, "attempts": attempts}
        self.observed.destination_rows.append(row | {"reason": None})

    def broken(self) -> set[str]:
        return {each.kind for each in check_deliveries(self.observed, self.leads, Poisoner(""))}


def test_a_consistent_scenario_breaks_no_promise() -> None:
    assert Scenario().broken() == set()


def lose_event(scenario: Scenario) -> None:
    del scenario.arrivals.events["changed received"]


def lose_erasure(scenario: Scenario) -> None:
    del scenario.arrivals.events["erased erased"]


def reorder(scenario: Scenario) -> None:
    events = scenario.arrivals.events
    events["changed processing"] = events.pop("changed processing")


def follow_erasure(scenario: Scenario) -> None:
    events = scenario.arrivals.events
    events["erased won"] = events.pop("erased won")


def send_spam(scenario: Scenario) -> None:
    data = {"id": scenario.spam.id, "message": scenario.spam.bodies[0].message}
    scenario.arrivals.events["spam"] = Event("spam", "lead.received", data)


def invent(scenario: Scenario) -> None:
    scenario.arrivals.events["x"] = Event("x", "lead.received", {"id": "of nobody", "message": ""})


def change_content(scenario: Scenario) -> None:
    scenario.arrivals.note_request("changed received", "another body")


def repeat_without_an_attempt(scenario: Scenario) -> None:
    scenario.arrivals.requests["changed received"] = 2


def sign_wrongly(scenario: Scenario) -> None:
    scenario.arrivals.unverified = 1


def follow_redirect(scenario: Scenario) -> None:
    scenario.arrivals.redirected = 1


def leave_waiting(scenario: Scenario) -> None:
    scenario.observed.destination_rows[0]["state"] = "failed"


def suppress(scenario: Scenario) -> None:
    scenario.observed.destination_rows[0]["state"] = "suppressed"


def lose_row(scenario: Scenario) -> None:
    scenario.observed.destination_rows.pop()


def miscount(scenario: Scenario) -> None:
    scenario.observed.counted["webhook_delivery"] = 6


def leave_in_outbox(scenario: Scenario) -> None:
    scenario.observed.unpublished = 1


def delete_without_publishing(scenario: Scenario) -> None:
    scenario.observed.published[scenario.erased.id].clear()


def lose_confirmed_change(scenario: Scenario) -> None:
    scenario.changed.changes.append(("won", 200))


def refuse_change(scenario: Scenario) -> None:
    scenario.changed.changes.append(("won", 409))


def alter_event(scenario: Scenario) -> None:
    found: dict[str, Any] = scenario.observed.inbox[scenario.changed.id]
    found["message"] = "another text"


@pytest.mark.parametrize(
    ("breaks", "named"),
    [
        (lose_event, "lost event"),
        (lose_erasure, "lost event"),
        (reorder, "order of events"),
        (follow_erasure, "order of events"),
        (send_spam, "order of events"),
        (invent, "invented"),
        (change_content, "content"),
        (repeat_without_an_attempt, "delivery"),
        (sign_wrongly, "signature"),
        (follow_redirect, "redirect"),
        (leave_waiting, "delivery"),
        (suppress, "delivery"),
        (lose_row, "ledger"),
        (miscount, "ledger"),
        (leave_in_outbox, "outbox"),
        (delete_without_publishing, "outbox"),
        (lose_confirmed_change, "lost change"),
        (refuse_change, "answer"),
        (alter_event, "altered event"),
    ],
)
def test_each_broken_promise_is_named(breaks: Callable[[Scenario], None], named: str) -> None:
    scenario = Scenario()
    breaks(scenario)
    assert named in scenario.broken()
