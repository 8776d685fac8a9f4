"""A list of team notifications (digest) that two notifiers may send, and the list of held leads.

One email lists two leads. An alert of a digest keeps its row in `email_delivery`. The Message-ID is derived
from the digest's id.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.model.checker import Model, Property, Step
from tests.model.words import count

DEAD: Final = -1


class State(NamedTuple):
    alerts: tuple[str, ...] = ("collected", "collected")
    held: bool = False  # the list of held leads has no rows of its own in `email_delivery`
    made: bool = False
    owner: int | None = None
    lease: bool = False
    hands: tuple[str, ...] = ("", "")  # claimed, begun, and the outcome
    ended: bool = False
    message_ids: tuple[str, ...] = ()  # of the mails at the team
    listed: int = 0  # how many digests list the leads
    unknown: int = 0  # lists whose outcome was unknown
    attempts: int = 0
    faults: int = 0


class Digests:
    """The steps. `broken` names what is broken on purpose."""

    def __init__(self, broken: tuple[str, ...]) -> None:
        self._broken = broken

    def steps(self, s: State) -> Iterator[Step]:
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

    def _notifier(self, s: State, n: int) -> Iterator[Step]:  # noqa: C901 - one branch for each phase
        name, phase = f"Notifier {n + 1}", s.hands[n]
        free = not s.lease or "a digest is sent without a claim" in self._broken
        if not phase and not s.ended and free and n != s.owner:
            claimed = _hold(s, n, "claimed")._replace(owner=n, lease=True)
            if "sending" in s.alerts and free:
                claimed = _hold(claimed, n, "unknown")
            yield Step(f"{name} claims the digest", claimed)
        elif phase == "claimed" and s.held:
            yield Step(f"{name} logs in to the mail server", _hold(s, n, "begun"))
        elif phase == "claimed":
            begun = _hold(s, n, "begun")
            if "`sending` is not committed before the body" not in self._broken:
                begun = begun._replace(alerts=("sending", "sending"))
            yield Step(f"{name} commits `sending` for both alerts", begun)
        elif phase == "begun":
            message_id = (
                "digest"
                if "each attempt has its own Message-ID" not in self._broken
                else f"attempt {s.attempts}"
            )
            sent = s._replace(message_ids=(*s.message_ids, message_id))
            yield Step("The mail server takes the list and answers 250", _hold(sent, n, "sent"))
            if s.faults:
                lost = _hold(sent, n, "unknown")._replace(faults=s.faults - 1)
                yield Step("The mail server takes the list, and its answer is lost", lost, fault=True)
        elif phase == "sent":
            done = _hold(s, n, "")._replace(alerts=("sent", "sent"), ended=True, owner=None, lease=False)
            yield Step(f"{name} commits that both alerts are sent", done)
        elif phase == "unknown":
            again = _hold(s, n, "")._replace(owner=None, lease=False, attempts=s.attempts + 1)
            again = again._replace(unknown=s.unknown + 1)
            if not s.held:
                again = again._replace(alerts=("unknown", "unknown"))
            if "an unknown list is made anew" in self._broken:
                again = again._replace(listed=s.listed + 1)
            yield Step(f"{name} commits `unknown`: the same list is sent again later", again)


def _hold(s: State, n: int, phase: str) -> State:
    return s._replace(hands=(phase, s.hands[1]) if n == 0 else (s.hands[0], phase))


def build(*, faults: int, held: bool = False, broken: tuple[str, ...] = ()) -> Model:
    """Return the model of a digest of team notifications, or of the list of held leads (`held`)."""
    promise = "held leads → notifier → SMTP" if held else "collected alerts → notifier → SMTP"

    def is_explained(s: State) -> bool:
        # A list of held leads that a dead process may have sent is sent again under its Message-ID.
        return held or len(s.message_ids) <= 1 + s.unknown

    properties = (
        Property("each lead is in one digest", promise, lambda s: s.listed <= 1),
        Property("a list arrives once, or `unknown` says why not", promise, is_explained),
        Property("a repeated list has the same Message-ID", promise, lambda s: len(set(s.message_ids)) <= 1),
        Property("every list is sent", promise, lambda s: s.ended and len(s.message_ids) >= 1, at_rest=True),
    )
    what = "the list of held leads" if held else "a digest of team notifications"
    bounds = f"{what}: two leads, two notifiers, {count(faults, 'fault')}"
    return Model("digests", bounds, State(held=held, faults=faults), Digests(broken).steps, properties)
