"""A list of team notifications (digest) that two notifiers may send, and the list of held leads.

One email lists two leads. An alert of a digest keeps its row in `email_delivery`. The Message-ID is derived
from the digest's id.
"""

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from tests.model.checker import Model, Property, Step
from tests.model.words import count

DEAD: Final = -1
LEFT: Final = "an erased alert is left in its digest"
OPEN: Final = ("collected", "waiting", "unknown", "sending")


class State(NamedTuple):
    alerts: tuple[str, ...] = ("collected", "collected")
    held: bool = False  # the list of held leads has no rows of its own in `email_delivery`
    made: bool = False
    erased: bool = False  # the first lead, which left the digest with that
    owner: int | None = None
    lease: bool = False
    hands: tuple[str, ...] = ("", "")  # claimed, begun, and the outcome
    whole: tuple[bool, ...] = (True, True)  # whether each notifier's list has the first lead
    ended: bool = False
    message_ids: tuple[str, ...] = ()  # of the mails at the team
    lists: tuple[bool, ...] = ()  # whether each of these mails lists the first lead
    listed: int = 0  # how many digests list the leads
    unknown: int = 0  # lists whose outcome was unknown
    entries: int = 0  # `email.unknown` of the first lead
    attempts: int = 0
    refusals: int = 0  # the mail server may still refuse so often
    faults: int = 0


class Digests:
    """The steps. `broken` names what is broken on purpose."""

    def __init__(self, broken: tuple[str, ...], *, erases: bool = False) -> None:
        self._broken = broken
        self._erases = erases

    def steps(self, s: State) -> Iterator[Step]:
        if self._erases and not s.erased:
            yield Step("An admin erases the first lead", self._erased(s), fault=True)
        if not s.made:
            yield Step("A notifier makes the digest and lists both leads", s._replace(made=True, listed=1))
            return
        for n in (0, 1):
            yield from self._notifier(s, n)
            if s.hands[n] and s.faults:
                owner = DEAD if s.owner == n else s.owner
                killed = _hold(s, n, "")._replace(owner=owner, faults=s.faults - 1)
                yield Step(f"Notifier {n + 1} is killed", killed, fault=True)
        if s.lease and s.owner == DEAD:
            yield Step("The lease of the dead notifier ends", s._replace(lease=False))

    def _erased(self, s: State) -> State:
        first = "suppressed" if s.alerts[0] in ("collected", "waiting") else s.alerts[0]
        return s._replace(erased=True, alerts=(first, s.alerts[1]))

    def _notifier(self, s: State, n: int) -> Iterator[Step]:
        phase = s.hands[n]
        free = not s.lease or "a digest is sent without a claim" in self._broken
        if not phase and not s.ended and free and n != s.owner:
            whole = (not s.erased, s.whole[1]) if n == 0 else (s.whole[0], not s.erased)
            claimed = _hold(s, n, "claimed")._replace(owner=n, lease=True, whole=whole)
            if "sending" in s.alerts[s.erased :] and free:
                claimed = _hold(claimed, n, "unknown")
            if s.erased and s.alerts[0] == "sending" and LEFT not in self._broken:
                claimed = claimed._replace(alerts=("unknown", s.alerts[1]), entries=s.entries + 1)
            yield Step(f"Notifier {n + 1} claims the digest", claimed)
        elif phase == "claimed":
            yield from self._begin(s, n)
        elif phase == "begun":
            yield from self._write_body(s, n)
        elif phase:
            yield from self._end(s, n, phase)

    def _begin(self, s: State, n: int) -> Iterator[Step]:
        name = f"Notifier {n + 1}"
        if s.held:
            yield Step(f"{name} logs in to the mail server", _hold(s, n, "begun"))
            return
        if s.erased and s.whole[n]:
            released = _hold(s, n, "")._replace(owner=None, lease=False)
            yield Step(f"{name} sees the erasure, and claims the digest again", released)
            return
        begun = _hold(s, n, "begun")
        if "`sending` is not committed before the body" not in self._broken:
            begun = begun._replace(alerts=(s.alerts[0] if s.erased else "sending", "sending"))
        yield Step(f"{name} commits `sending` for the alerts", begun)
        if s.refusals:
            refused = _hold(s, n, "waiting")._replace(refusals=s.refusals - 1)
            yield Step("The mail server refuses the recipient for now", refused)

    def _write_body(self, s: State, n: int) -> Iterator[Step]:
        is_anew = "each attempt has its own Message-ID" in self._broken
        message_id = f"attempt {s.attempts}" if is_anew else "digest"
        has_first = s.alerts[0] == "sending" or s.held
        sent = s._replace(message_ids=(*s.message_ids, message_id), lists=(*s.lists, has_first))
        yield Step("The mail server takes the list and answers 250", _hold(sent, n, "sent"))
        if s.refusals:
            refused = _hold(s, n, "waiting")._replace(refusals=s.refusals - 1)
            yield Step("The mail server answers 451 to the list", refused)
        if s.faults:
            lost = _hold(sent, n, "unknown")._replace(faults=s.faults - 1)
            yield Step("The mail server takes the list, and its answer is lost", lost, fault=True)
            broken = _hold(s, n, "unknown")._replace(faults=s.faults - 1)
            yield Step("The connection breaks in the list", broken, fault=True)
            away = _hold(s, n, "")._replace(owner=None, lease=False, faults=s.faults - 1)
            alerts = self._moved(s, ("sending",), "collected")
            yield Step(
                "The mail server is unavailable before the list: the alerts wait for it",
                away._replace(alerts=s.alerts if s.held else alerts),
                fault=True,
            )

    def _end(self, s: State, n: int, outcome: str) -> Iterator[Step]:
        name, free = f"Notifier {n + 1}", _hold(s, n, "")._replace(owner=None, lease=False)
        if s.owner != n:
            yield Step(f"{name} lost its lease and records nothing", _hold(s, n, ""))
            return
        alerts = self._moved(s, OPEN, outcome)
        if not s.whole[n]:
            alerts = (s.alerts[0], alerts[1])
        if not s.held:
            free = free._replace(alerts=alerts)
        if outcome == "sent":
            yield Step(f"{name} commits that the alerts are sent", free._replace(ended=True))
            return
        again = free._replace(attempts=s.attempts + 1, unknown=s.unknown + (outcome == "unknown"))
        again = again._replace(entries=s.entries + (outcome == "unknown" and s.whole[n]))
        if "an unknown list is made anew" in self._broken:
            again = again._replace(listed=s.listed + 1)
        yield Step(f"{name} commits `{outcome}`: the same list is sent again later", again)

    def _moved(self, s: State, before: Collection[str], after: str) -> tuple[str, ...]:
        """Return the alerts with another state. That of the erased lead is not sent again."""
        first, second = (after if each in before else each for each in s.alerts)
        if s.erased and first in ("collected", "waiting") and LEFT not in self._broken:
            first = "suppressed"
        return first, second


def _hold(s: State, n: int, phase: str) -> State:
    return s._replace(hands=(phase, s.hands[1]) if n == 0 else (s.hands[0], phase))


def build(
    *,
    faults: int,
    held: bool = False,
    refusals: int = 0,
    erases: bool = False,
    broken: tuple[str, ...] = (),
) -> Model:
    """Return the model of a digest of team notifications, or of the list of held leads (`held`)."""
    promise = "held leads → notifier → SMTP" if held else "collected alerts → notifier → SMTP"

    def is_explained(s: State) -> bool:
        # A list of held leads that a dead process may have sent is sent again under its Message-ID.
        return held or len(s.message_ids) <= 1 + s.unknown

    def has_outcome(s: State) -> bool:
        return held or all(each in ("sent", "unknown", "suppressed") for each in s.alerts)

    properties = (
        Property("each lead is in one digest", promise, lambda s: s.listed <= 1),
        Property("a list arrives once, or `unknown` says why not", promise, is_explained),
        Property("a repeated list has the same Message-ID", promise, lambda s: len(set(s.message_ids)) <= 1),
        Property("every list is sent", promise, lambda s: s.ended and len(s.message_ids) >= 1, at_rest=True),
        Property("every alert has an outcome", promise, has_outcome, at_rest=True),
    )
    what = "the list of held leads" if held else "a digest of team notifications"
    bounds = f"{what}: two leads, two notifiers, {count(faults, 'fault')}"
    extras = [count(refusals, "refusal")] * bool(refusals) + ["an erasure"] * erases
    initial = State(held=held, refusals=refusals, faults=faults)
    steps = Digests(broken, erases=erases).steps
    return Model("digests", ", ".join([bounds, *extras]), initial, steps, properties)
