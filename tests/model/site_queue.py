"""A website's own queue with one entry: the flusher posts it under its key, then removes it."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.checker import Model, Property, Step
from tests.model.words import count


class State(NamedTuple):
    queued: bool = True
    answer: str = ""  # the gateway's to the flusher: 201 or 422
    parked: bool = False  # the replay queue has it
    leads: frozenset[str] = frozenset()  # ids that the gateway published
    attempts: int = 0
    faults: int = 0


class SiteQueue:
    """The steps. `broken` names what is broken on purpose. `refuses` means that the gateway answers 422."""

    def __init__(self, broken: tuple[str, ...], *, refuses: bool) -> None:
        self._broken = broken
        self._refuses = refuses

    def steps(self, s: State) -> Iterator[Step]:
        if s.queued and not s.answer:
            yield from self._post(s)
        if s.queued and s.answer == "422" and not s.parked:
            yield Step("The replay queue has the entry", s._replace(parked=True))
        if s.queued and (s.answer == "201" or s.parked):
            yield Step("The flusher removes the entry from the website", s._replace(queued=False, answer=""))
        if s.answer and s.faults:
            killed = s._replace(answer="", faults=s.faults - 1)
            yield Step("The flusher is killed", killed, fault=True)

    def _post(self, s: State) -> Iterator[Step]:
        if "an entry is removed before its 201" in self._broken:
            yield Step("The flusher removes the entry from the website", s._replace(queued=False))
        if self._refuses:
            yield Step("The gateway answers 422", s._replace(answer="422"))
            return
        is_new = "each post has a new key" in self._broken
        there = s._replace(
            leads=s.leads | {f"lead {s.attempts}" if is_new else "lead"}, attempts=min(2, s.attempts + 1)
        )
        yield Step("The gateway publishes the entry and answers 201", there._replace(answer="201"))
        if s.faults:
            lost = there._replace(faults=s.faults - 1)
            yield Step("The gateway publishes the entry, and its answer is lost", lost, fault=True)


def build(*, faults: int, refuses: bool = False, broken: tuple[str, ...] = ()) -> Model:
    """Return the model of one entry that the gateway accepts, or refuses (`refuses`)."""
    promise = "website's queue → flusher → ingest"
    properties = (
        Property(
            "an entry leaves the website only for Kafka or the replay queue",
            promise,
            lambda s: s.queued or bool(s.leads) or s.parked,
        ),
        Property("an entry is one lead", promise, lambda s: len(s.leads) <= 1),
        Property("every entry leaves the website", promise, lambda s: not s.queued, at_rest=True),
    )
    bounds = f"one entry, which the gateway {'refuses' if refuses else 'accepts'}, {count(faults, 'fault')}"
    return Model(
        "site queue", bounds, State(faults=faults), SiteQueue(broken, refuses=refuses).steps, properties
    )
