"""The way of a lead and its changes to one destination: outbox, relay, deliveries, two senders, the receiver.

Event 0 is `lead.received`, the next ones are changes of the lead, and the last one is `lead.erased`.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.model.checker import Model, Property, Step
from tests.model.words import count

CHANGES: Final = 2
ATTEMPTS: Final = 3  # ten in the services
DEAD: Final = -1  # the owner of a delivery whose process is gone
ENDED: Final = ("delivered", "dead", "suppressed")


class Delivery(NamedTuple):
    """A row of `webhook_delivery`."""

    state: str = "pending"
    owner: int | None = None
    lease: bool = False
    attempts: int = 0


class State(NamedTuple):
    received: bool = False  # the record of the lead is handled
    changes: int = 0  # of the lead, each with a row in the outbox
    outbox: tuple[int, ...] = ()
    relayed: tuple[int, ...] = ()  # Kafka has these events; the relay's transaction is open
    topic: tuple[int, ...] = ()  # events on leads.changed.v1
    topic_read: int = 0
    erased: bool = False
    deliveries: tuple[Delivery | None, ...] = (None,) * (CHANGES + 2)
    hands: tuple[tuple[int, str] | None, ...] = (None, None)  # each sender's event, and what happened
    arrived: tuple[int, ...] = ()  # events at the destination, without repetitions
    refusals: int = 0  # the destination may still refuse so often
    faults: int = 0


class Destinations:
    """The steps. `broken` names what is broken on purpose. A delivery is dead after so many `attempts`."""

    def __init__(self, broken: tuple[str, ...], changes: int, attempts: int, *, erases: bool) -> None:
        self._broken = broken
        self._changes = changes
        self._attempts = attempts
        self._erases = erases

    def steps(self, s: State) -> Iterator[Step]:
        yield from self._lead(s)
        yield from self._relay(s)
        yield from self._plan(s)
        for n in (0, 1):
            if s.hands[n] is None:
                yield from self._claim(s, n)
            else:
                yield from self._send(s, n)
                if s.faults:
                    yield Step(f"Sender {n + 1} is killed", self._killed(s, n), fault=True)
        for event, row in enumerate(s.deliveries):
            if row and row.lease:
                ended = _with(s, event, row._replace(lease=False))
                if row.owner == DEAD:
                    yield Step("The lease of the dead sender ends", ended)
                elif s.faults:
                    stalled = ended._replace(faults=s.faults - 1)
                    yield Step("A sender is stopped for longer than its lease", stalled, fault=True)

    def _lead(self, s: State) -> Iterator[Step]:
        if self._erases and not s.erased:
            yield Step("An admin erases the lead", _erased(s), fault=True)
        if s.changes < self._changes and not s.erased:
            event = s.changes + 1
            after = s._replace(changes=event, outbox=(*s.outbox, event))
            if "the outbox is written after the change" in self._broken:
                after = s._replace(changes=event)
            yield Step(f"An admin changes the lead: change {event} and its row in the outbox", after)
        if s.received:
            return
        stored = s if s.erased else _with(s, 0, s.deliveries[0] or Delivery())
        yield Step(
            "Webhooks stores the delivery of the lead and commits its offset", stored._replace(received=True)
        )
        if "offsets are committed before the deliveries" in self._broken and s.faults:
            lost = s._replace(received=True, faults=s.faults - 1)
            yield Step("Webhooks commits its offset and is killed", lost, fault=True)
        if s.faults:
            again = stored._replace(faults=s.faults - 1)
            yield Step(
                "Webhooks stores the delivery of the lead, and dies before its offset", again, fault=True
            )

    def _relay(self, s: State) -> Iterator[Step]:
        if s.relayed:
            left = tuple(each for each in s.outbox if each not in s.relayed)
            yield Step("The relay deletes what Kafka has", s._replace(relayed=(), outbox=left))
            if s.faults:
                killed = s._replace(relayed=(), faults=s.faults - 1)
                yield Step("The relay is killed: its transaction is rolled back", killed, fault=True)
        if waiting := [each for each in s.outbox if each not in s.relayed]:
            event = waiting[-1 if "the relay publishes the newest change first" in self._broken else 0]
            if "a row of the outbox is deleted before the acknowledgement" in self._broken:
                left = tuple(each for each in s.outbox if each != event)
                yield Step(f"The relay deletes the row of change {event}", s._replace(outbox=left))
            published = s._replace(relayed=(*s.relayed, event), topic=(*s.topic, event))
            yield Step(f"Kafka acknowledges change {event}", published)

    def _plan(self, s: State) -> Iterator[Step]:
        if s.topic_read == len(s.topic):
            return
        planned = s
        for read in range(s.topic_read + 1, len(s.topic) + 1):  # a batch is one transaction
            event = s.topic[read - 1]
            name = f"Webhooks stores the delivery of change {event}"
            if s.erased:
                name = f"Webhooks drops change {event}: the lead is erased"
            elif planned.deliveries[event] is None:
                if planned.deliveries[0] is None:  # the change overtook the record of the lead
                    planned = _with(planned, 0, Delivery())
                    name = f"Webhooks stores the deliveries of the lead and of change {event}"
                planned = _with(planned, event, Delivery())
            yield Step(name, planned._replace(topic_read=read))
            if s.faults:
                again = planned._replace(faults=s.faults - 1)
                yield Step(f"{name}, and dies before its offset", again, fault=True)

    def _claim(self, s: State, n: int) -> Iterator[Step]:
        """Claim the lead's first open delivery: a later one waits for it."""
        for event, row in enumerate(s.deliveries):
            if row is None or row.state in ENDED:
                continue
            if row.state == "pending" or not row.lease:
                claimed = row._replace(state="sending", owner=n, lease=True, attempts=row.attempts + 1)
                phase = "empty" if s.erased and event != _last(s) else "claimed"
                after = _hold(_with(s, event, claimed), n, (event, phase))
                yield Step(f"Sender {n + 1} claims event {event}", after)
            if "a change does not wait for its lead" not in self._broken:
                return

    def _send(self, s: State, n: int) -> Iterator[Step]:
        hand = s.hands[n]
        assert hand
        event, phase = hand
        row = s.deliveries[event]
        assert row
        if phase == "empty":
            done = s
            if row.state == "sending" and row.owner == n:
                done = _with(s, event, row._replace(state="suppressed", owner=None, lease=False))
            yield Step(f"Sender {n + 1} has nothing to send of event {event}", _hold(done, n, None))
        elif phase == "claimed":
            arrived = s._replace(arrived=s.arrived if event in s.arrived else (*s.arrived, event))
            yield Step(
                f"The destination takes event {event} and answers 200", _hold(arrived, n, (event, "200"))
            )
            if "delivered is recorded before the request" in self._broken:
                early = _with(s, event, row._replace(state="delivered", owner=None, lease=False))
                yield Step(f"Sender {n + 1} records that event {event} is delivered", early)
            if s.refusals:
                refused = _hold(s._replace(refusals=s.refusals - 1), n, (event, "500"))
                yield Step(f"The destination answers 500 to event {event}", refused)
            if s.faults:
                lost = _hold(arrived._replace(faults=s.faults - 1), n, (event, "500"))
                yield Step(f"The destination takes event {event}, and its answer is lost", lost, fault=True)
        elif row.state != "sending" or row.owner != n:
            yield Step(f"Sender {n + 1} lost its lease and records nothing", _hold(s, n, None))
        else:
            is_early = "one failure is final" in self._broken
            failed = "dead" if row.attempts >= self._attempts or is_early else "pending"
            if s.erased and event != _last(s):
                failed = "suppressed"
            state = "delivered" if phase == "200" else failed
            done = _with(s, event, row._replace(state=state, owner=None, lease=False))
            yield Step(f"Sender {n + 1} records that event {event} is {state}", _hold(done, n, None))

    def _killed(self, s: State, n: int) -> State:
        rows = tuple(row._replace(owner=DEAD) if row and row.owner == n else row for row in s.deliveries)
        return _hold(s, n, None)._replace(deliveries=rows, faults=s.faults - 1)


def _hold(s: State, n: int, hand: tuple[int, str] | None) -> State:
    return s._replace(hands=(hand, s.hands[1]) if n == 0 else (s.hands[0], hand))


def _last(s: State) -> int:
    return len(s.deliveries) - 1


def _erased(s: State) -> State:
    """Suppress what is not sent, and let a destination know that may have the lead."""
    rows = tuple(
        row._replace(state="suppressed") if row and row.state in ("pending", "dead") else row
        for row in s.deliveries
    )
    erased = s._replace(erased=True, deliveries=rows)
    is_known = any(row and row.attempts for row in rows)
    return _with(erased, _last(s), Delivery()) if is_known else erased


def _with(s: State, event: int, row: Delivery) -> State:
    return s._replace(deliveries=(*s.deliveries[:event], row, *s.deliveries[event + 1 :]))


def build(
    *,
    faults: int,
    refusals: int = 0,
    broken: tuple[str, ...] = (),
    changes: int = CHANGES,
    attempts: int = ATTEMPTS,
    erases: bool = False,
) -> Model:
    """Return the model with at most so many faults and refusals of the destination."""
    webhooks, outbox = "received → webhooks → destination", "change → outbox → webhooks"

    def is_recorded(s: State) -> bool:
        return all(event in s.outbox or event in s.topic for event in range(1, s.changes + 1))

    def is_in_order(s: State) -> bool:
        # A delivery that is dead holds up no other, and one of its attempts may still be under way.
        rows = dict(enumerate(s.deliveries))
        live = [
            event for event in s.arrived if (row := rows[event]) and row.state not in ("dead", "suppressed")
        ]
        return live == sorted(live)

    def all_sent(s: State) -> bool:
        if s.erased:
            return all(row is None or row.state in ENDED for row in s.deliveries)
        return all(row is not None and row.state in ENDED for row in s.deliveries[:-1])

    properties = (
        Property("each change is in the outbox or in Kafka", outbox, is_recorded),
        Property("the events of a lead arrive in order", outbox, is_in_order),
        Property(
            "`delivered` means that the destination has it",
            webhooks,
            lambda s: all(
                e in s.arrived for e, row in enumerate(s.deliveries) if row and row.state == "delivered"
            ),
        ),
        Property(
            "no delivery is dead before its last attempt",
            webhooks,
            lambda s: all(row.attempts >= attempts for row in s.deliveries if row and row.state == "dead"),
        ),
        Property("every event is delivered", webhooks, all_sent, at_rest=True),
        Property("the outbox is empty", outbox, lambda s: s.outbox == (), at_rest=True),
    )
    limits = f"{count(faults, 'fault')}, {count(refusals, 'refusal')}{', an erasure' * erases}"
    bounds = f"a lead with {count(changes, 'change')}, one destination, two senders, {limits}"
    return Model(
        "destinations",
        bounds,
        State(deliveries=(None,) * (changes + 2), refusals=refusals, faults=faults),
        Destinations(broken, changes, attempts, erases=erases).steps,
        properties,
    )
