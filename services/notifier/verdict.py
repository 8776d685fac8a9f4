"""What a mail server's answer means (design: "Consumers"). Pure: no I/O, no state."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_ENHANCED: Final = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)")
# Behind RCPT and DATA these speak of the server, its network or our quota, not of the lead.
_WORLD_SUBJECTS: Final = ("4.3.", "4.4.")
_WORLD_CODES: Final = frozenset({"4.7.0", "4.7.28", "5.4.5"})


class Phase(StrEnum):
    """How far a mail got; the values stand in reasons."""

    CONNECT = "connect"
    EHLO = "ehlo"
    LOGIN = "login"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"  # written, with its final dot: only the answer is missing


class Verdict(StrEnum):
    """What becomes of the mail; all but `world` are states of its delivery."""

    SENT = "sent"
    WAITING = "waiting"
    DEAD = "dead"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"  # ours to say, before any server is asked
    WORLD = "world"  # nothing: the stage pauses, and the mail is tried again


@dataclass(frozen=True)
class Outcome:
    """A verdict and why. `answer` is the server's text: personal data, for `email_delivery` only."""

    verdict: Verdict
    reason: str
    phase: Phase | None = None
    code: int | None = None
    enhanced: str | None = None
    answer: str | None = None


def enhanced_status(text: str) -> str | None:
    """Return the enhanced status (RFC 3463) that an answer begins with."""
    match = _ENHANCED.match(text)
    return match.group(1) if match else None


def classify(phase: Phase, code: int, enhanced: str | None) -> Verdict:
    """Say what an answer in a phase means.

    Up to MAIL it is about us and the server: our login, our sender, its load. From RCPT on it is about
    this mail, unless the code says that it is not.
    """
    if phase is Phase.BODY and 200 <= code < 300:
        return Verdict.SENT
    if phase not in (Phase.RCPT, Phase.DATA, Phase.BODY):
        return Verdict.WORLD
    if code == 421 or (enhanced and (enhanced.startswith(_WORLD_SUBJECTS) or enhanced in _WORLD_CODES)):
        return Verdict.WORLD
    if 400 <= code < 500:
        return Verdict.WAITING
    if 500 <= code < 600:
        return Verdict.DEAD
    # No answer that SMTP knows. Before the body that is the server's trouble; after it, who can tell?
    return Verdict.UNKNOWN if phase is Phase.BODY else Verdict.WORLD


def answered(phase: Phase, code: int, text: str) -> Outcome:
    """Judge a server's answer."""
    enhanced = enhanced_status(text)
    verdict = classify(phase, code, enhanced)
    words = ["smtp", str(code), *([enhanced] if enhanced else [])]
    return Outcome(verdict, f"{' '.join(words)} at {phase}", phase, code, enhanced, text[:1000])


def not_answered(phase: Phase, why: str) -> Outcome:
    """Judge a lost connection or a silence: nobody knows what became of a body that was written."""
    verdict = Verdict.UNKNOWN if phase is Phase.BODY else Verdict.WORLD
    return Outcome(verdict, f"{why} at {phase}", phase)


def of_all(outcomes: list[Outcome]) -> Outcome:
    """Judge a mail whose every recipient was refused: by the answer that leaves most hope."""
    for verdict in (Verdict.WORLD, Verdict.WAITING):
        for outcome in outcomes:
            if outcome.verdict is verdict:
                return outcome
    return outcomes[0]


CRASHED: Final = Outcome(Verdict.UNKNOWN, "process ended after the body may have been written", Phase.BODY)
