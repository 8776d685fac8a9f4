"""What arrived at the receiver, each event once and in the order of arrival."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """An event that the receiver has processed."""

    id: str
    type: str
    data: dict[str, Any]
    at: float = field(default_factory=time.time)  # seconds since 1970

    @property
    def lead_id(self) -> str:
        return str(self.data["id"])

    @property
    def name(self) -> str:
        """Return the type, and of a change of status the new status."""
        return f"{self.type} {self.data['to_status']}" if "to_status" in self.data else self.type


@dataclass
class Arrivals:
    """The requests that arrived, and the events that were processed. `contents` is by webhook-id."""

    events: dict[str, Event] = field(default_factory=dict)
    contents: dict[str, set[str]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    unverified: int = 0
    redirected: int = 0  # requests to the address of a redirect

    def note_request(self, event_id: str, body: str) -> None:
        """Note a request, whatever its response will be."""
        self.requests[event_id] += 1
        self.contents.setdefault(event_id, set()).add(body)

    def process(self, event_id: str, body: str) -> None:
        """Process an event, unless its id is known."""
        event = json.loads(body)
        self.events.setdefault(event_id, Event(event_id, event["type"], event["data"]))
