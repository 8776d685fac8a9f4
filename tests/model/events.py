"""Events beside the leads: a report about an email, a refused request, an admin's change of a status."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.model.checker import Model, Property, Step
from tests.model.words import count

QUEUE_SIZE: Final = 1  # entries in the gateway's memory
REFUSALS: Final = 2


class Report(NamedTuple):
    """A provider's webhook, or a report in the mailbox, and what became of it."""

    there: bool = True  # at the provider or in the mailbox
    acked: bool = False  # Kafka has it, and the gateway's answer is under way
    topic: tuple[str, ...] = ()
    read: int = 0
    entries: frozenset[str] = frozenset()  # ids in the audit log
    effects: int = 0
    posts: int = 0
    faults: int = 0


def build_report(*, faults: int, broken: tuple[str, ...] = ()) -> Model:
    """Return the model of one report about an email."""

    def steps(s: Report) -> Iterator[Step]:
        if s.there and not s.acked:
            event = f"event {s.posts}" if "the event's id is minted" in broken else "event"
            there = s._replace(topic=(*s.topic, event), posts=min(2, s.posts + 1))
            yield Step("Kafka acknowledges the event", there._replace(acked=True))
            if "2xx before the acknowledgement" in broken:
                yield Step("The gateway answers 2xx", s._replace(there=False))
            if s.faults:
                lost = there._replace(faults=s.faults - 1)
                yield Step("Kafka has the event, and its acknowledgement is lost: 503", lost, fault=True)
        if s.acked:
            yield Step("The gateway answers 2xx", s._replace(there=False, acked=False))
            if s.faults:
                yield Step("The gateway is killed", s._replace(acked=False, faults=s.faults - 1), fault=True)
        if s.read < len(s.topic):
            event = s.topic[s.read]
            applied = s._replace(entries=s.entries | {event}, effects=s.effects + (event not in s.entries))
            yield Step(
                "The flusher applies the event and commits its offset", applied._replace(read=s.read + 1)
            )
            if s.faults:
                again = applied._replace(faults=s.faults - 1)
                yield Step("The flusher applies the event, and dies before its offset", again, fault=True)

    promise = "provider, mailbox → mail events → flusher"
    properties = (
        Property(
            "a report leaves its provider once Kafka has it", promise, lambda s: s.there or bool(s.topic)
        ),
        Property("a report has its effect once", promise, lambda s: s.effects <= 1),
        Property(
            "every report has its effect", promise, lambda s: s.effects == 1 and not s.there, at_rest=True
        ),
    )
    return Model(
        "mail events", f"one report, {count(faults, 'fault')}", Report(faults=faults), steps, properties
    )


class Refusal(NamedTuple):
    """Refused requests, and what became of their entries."""

    refused: int = 0
    memory: tuple[str, ...] = ()
    dropped: int = 0  # counted
    lost: int = 0  # in memory when the gateway was killed
    topic: tuple[str, ...] = ()
    read: int = 0
    entries: tuple[str, ...] = ()
    forged: bool = False
    faults: int = 0


def build_refusal(  # noqa: C901 - its steps are inside
    *, faults: int, broken: tuple[str, ...] = (), refused: int = REFUSALS, forges: bool = True
) -> Model:
    """Return the model of refused requests; somebody else writes to the topic too."""

    def steps(s: Refusal) -> Iterator[Step]:
        if s.refused < refused:
            one_more = s._replace(refused=s.refused + 1)
            if len(s.memory) < QUEUE_SIZE:
                kept = one_more._replace(memory=(*s.memory, f"lead.rejected {s.refused}"))
                yield Step("The gateway refuses a request and keeps an entry in memory", kept)
            elif "drops are not counted" in broken:
                yield Step("The gateway refuses a request and drops the entry", one_more)
            else:
                dropped = one_more._replace(dropped=s.dropped + 1)
                yield Step("The gateway refuses a request, drops the entry and counts that", dropped)
        if s.memory:
            there = s._replace(topic=(*s.topic, s.memory[0]))
            yield Step("Kafka acknowledges the entry", there._replace(memory=s.memory[1:]))
            if s.faults:
                again = there._replace(faults=s.faults - 1)
                yield Step("Kafka has the entry, and its acknowledgement is lost", again, fault=True)
                killed = s._replace(lost=s.lost + len(s.memory), memory=(), faults=s.faults - 1)
                yield Step("The gateway is killed", killed, fault=True)
        if forges and not s.forged:
            forged = s._replace(forged=True, topic=(*s.topic, "lead.received"))
            yield Step("Another program writes an entry `lead.received` to the topic", forged, fault=True)
        if s.read < len(s.topic):
            yield from _store_entry(s)

    def _store_entry(s: Refusal) -> Iterator[Step]:
        entry = s.topic[s.read]
        is_allowed = entry.startswith("lead.rejected") or "every event is stored" in broken
        is_new = entry not in s.entries or "entries have no unique id" in broken
        stored = s._replace(entries=(*s.entries, entry)) if is_allowed and is_new else s
        yield Step("The persister stores the entry and commits its offset", stored._replace(read=s.read + 1))
        if s.faults:
            again = stored._replace(faults=s.faults - 1)
            yield Step("The persister stores the entry, and dies before its offset", again, fault=True)

    promise = "ingest → audit → persister"
    properties = (
        Property("an entry is stored once", promise, lambda s: len(s.entries) == len(set(s.entries))),
        Property("only refusals are stored", promise, lambda s: "lead.received" not in s.entries),
        Property(
            "each refusal is stored, counted as dropped, or was in the memory of a killed gateway",
            promise,
            lambda s: s.refused <= len(s.entries) + s.dropped + s.lost,
            at_rest=True,
        ),
    )
    extras = f"{', a forged entry' * forges}, {count(faults, 'fault')}"
    bounds = f"{refused} refused requests, memory for {QUEUE_SIZE}{extras}"
    return Model("audit of refusals", bounds, Refusal(faults=faults), steps, properties)


class Change(NamedTuple):
    """A lead's status that two admins change from `received`, and the answers to them."""

    changes: int = 0
    entries: int = 0
    answers: tuple[str, ...] = ("", "")  # 200, 409, or none yet
    writing: bool = False  # the change is committed and its entry is not
    faults: int = 0


def build_change(*, faults: int, broken: tuple[str, ...] = ()) -> Model:
    """Return the model of two admins who set a status, each with `expected`, at the same time."""

    def steps(s: Change) -> Iterator[Step]:
        if s.writing:
            yield Step("The admin service writes the entry", s._replace(writing=False, entries=s.entries + 1))
        for n, answer in enumerate(s.answers):
            if answer:
                continue
            answers = tuple("409" if at == n else each for at, each in enumerate(s.answers))
            if s.changes and "`expected` is not compared" not in broken:
                yield Step(f"Admin {n + 1} gets 409: the status is another one", s._replace(answers=answers))
                continue
            done = s._replace(changes=s.changes + 1, entries=s.entries + 1)
            if "the entry is written in another transaction" in broken:
                done = s._replace(changes=s.changes + 1, writing=True)
            answers = tuple("200" if at == n else each for at, each in enumerate(s.answers))
            yield Step(f"Admin {n + 1} sets the status and gets 200", done._replace(answers=answers))
            if s.faults:
                lost = done._replace(faults=s.faults - 1)
                yield Step(f"Admin {n + 1} sets the status, and the answer is lost", lost, fault=True)
                away = s._replace(faults=s.faults - 1)
                yield Step(f"Admin {n + 1} gets 503 with Retry-After", away, fault=True)

    promise = "admin → PostgreSQL"
    properties = (
        Property("a change has its entry", promise, lambda s: s.changes == s.entries),
        Property("a status is not set twice", promise, lambda s: s.changes <= 1),
        Property(
            "every admin has an answer", promise, lambda s: all(s.answers) and s.changes == 1, at_rest=True
        ),
    )
    return Model(
        "admin's change", f"two admins, {count(faults, 'fault')}", Change(faults=faults), steps, properties
    )
