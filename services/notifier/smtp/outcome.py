"""What a mail server's answer means (design: "Consumers"). Pure: no I/O, no state."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.notifier.smtp import replies

_ENHANCED: Final = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)")
# From RCPT on these speak of the server or its network, not of the lead.
_WORLD_SUBJECTS: Final = ("4.3.", "4.4.")
_WORLD_CODES: Final = frozenset({"4.7.0"})

RATE_LIMIT: Final = "rate limit"
REFUSES_US: Final = "the server refuses our sender, login or host"
REFUSES_ALL: Final = "the server refuses every recipient"


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
    """What becomes of the mail; all but `world` and `throttled` are states of its delivery."""

    SENT = "sent"
    WAITING = "waiting"
    DEAD = "dead"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"  # ours to say, before any server is asked
    WORLD = "world"  # nothing: the stage pauses, and the mail is tried again
    THROTTLED = "throttled"  # nothing: the stage slows down, and the mail is tried again


# Nothing was sent, and nothing becomes of the mail: it will be tried again.
NO_OUTCOME: Final = frozenset({Verdict.WORLD, Verdict.THROTTLED})


@dataclass(frozen=True)
class Outcome:
    """A verdict and why. `answer` is the server's text: personal data, for `email_delivery` only.

    `cause` is what we make of a reply that is not about the mail, in our own words.
    """

    verdict: Verdict
    reason: str
    phase: Phase | None = None
    code: int | None = None
    enhanced: str | None = None
    answer: str | None = None
    cause: str = ""

    @property
    def reason_of_pause(self) -> str:
        """Return the reason, and what we make of it."""
        return f"{self.reason}: {self.cause}" if self.cause else self.reason


def enhanced_status(text: str) -> str | None:
    """Return the enhanced status (RFC 3463) that an answer begins with."""
    match = _ENHANCED.match(text)
    return match.group(1) if match else None


def classify(phase: Phase, code: int, enhanced: str | None, text: str = "") -> tuple[Verdict, str]:
    """Say what an answer in a phase means, and its cause where it is not about the mail. `text` is plain.

    Up to MAIL it is about us and the server: our login, our sender, its load. From RCPT on it is about
    this mail, unless the reply says that it is not.
    """
    if phase is Phase.BODY and 200 <= code < 300:
        return Verdict.SENT, ""
    logged_in = phase not in (Phase.CONNECT, Phase.EHLO, Phase.LOGIN)
    if logged_in and replies.is_rate_limit(enhanced, text):
        return Verdict.THROTTLED, RATE_LIMIT
    if logged_in and phase is not Phase.MAIL:
        if replies.is_about_us(code, enhanced, text):
            return Verdict.WORLD, REFUSES_US
        return _by_code(phase, code, enhanced), ""
    return Verdict.WORLD, ""


def _by_code(phase: Phase, code: int, enhanced: str | None) -> Verdict:
    if code == 421 or (enhanced and (enhanced.startswith(_WORLD_SUBJECTS) or enhanced in _WORLD_CODES)):
        return Verdict.WORLD
    if 400 <= code < 500:
        return Verdict.WAITING
    if 500 <= code < 600:
        return Verdict.DEAD
    # No answer that SMTP knows. Before the body that is the server's trouble; after it, who can tell?
    return Verdict.UNKNOWN if phase is Phase.BODY else Verdict.WORLD


def answered(
    phase: Phase, code: int, text: str, sender: str = "", recipients: Collection[str] = ()
) -> Outcome:
    """Judge a server's answer to a mail from this sender to these recipients."""
    enhanced = enhanced_status(text)
    verdict, cause = classify(phase, code, enhanced, replies.plain(text, recipients))
    refused = verdict in (Verdict.WAITING, Verdict.DEAD)
    if refused and replies.names_only_sender(text, sender, recipients):
        verdict, cause = Verdict.WORLD, REFUSES_US
    words = ["smtp", str(code), *([enhanced] if enhanced else [])]
    return Outcome(verdict, f"{' '.join(words)} at {phase}", phase, code, enhanced, text[:1000], cause)


def span_attributes(outcome: Outcome) -> dict[str, str | int]:
    """Return what a span may hold of an outcome: no personal data, never the server's text."""
    said = {
        "smtp.outcome": str(outcome.verdict),
        "smtp.phase": outcome.phase and str(outcome.phase),
        "smtp.response.code": outcome.code,
        "smtp.response.enhanced_code": outcome.enhanced,
        "smtp.reason": outcome.reason,
    }
    return {name: value for name, value in said.items() if value is not None}


def not_answered(phase: Phase, why: str) -> Outcome:
    """Judge a lost connection or a silence: nobody knows what became of a body that was written."""
    verdict = Verdict.UNKNOWN if phase is Phase.BODY else Verdict.WORLD
    return Outcome(verdict, f"{why} at {phase}", phase)


def of_all(outcomes: list[Outcome]) -> Outcome:
    """Judge a mail whose every recipient was refused: by the answer that leaves most hope."""
    for verdict in (Verdict.WORLD, Verdict.THROTTLED, Verdict.WAITING):
        for outcome in outcomes:
            if outcome.verdict is verdict:
                return outcome
    return outcomes[0]


CRASHED: Final = Outcome(Verdict.UNKNOWN, "process ended after the body may have been written", Phase.BODY)
