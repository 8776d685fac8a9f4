"""Decides the outcome of a mail from the reply and its phase, such as 550 to RCPT. No I/O.

The module `replies` has the rules for replies whose code is ambiguous.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from sys import intern
from typing import Final

from contracts.reasons import Reason
from services.notifier.smtp import replies

_ENHANCED: Final = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)")
# From RCPT on these enhanced statuses refer to the server or its network, not to the mail.
_SERVER_SUBJECTS: Final = ("4.3.", "4.4.")
_SERVER_STATUSES: Final = frozenset({"4.7.0"})

RATE_LIMIT: Final = "rate limit"
SENDER_REFUSED: Final = "the server refuses our sender, login or host"
ALL_RECIPIENTS_REFUSED: Final = "the server refuses every recipient"


class Phase(StrEnum):
    """A phase of the SMTP exchange. The reasons of failures contain these values."""

    CONNECT = "connect"
    EHLO = "ehlo"
    LOGIN = "login"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"  # the body is written with its final dot; only the reply is missing


class MailStatus(StrEnum):
    """What happened to a mail. All but `unavailable` and `throttled` are states in `email_delivery`."""

    SENT = "sent"
    WAITING = "waiting"
    DEAD = "dead"  # refused for good: its failure is published as final, so the flusher does not retry it
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"  # decided before any server is contacted
    UNAVAILABLE = "unavailable"  # not sent: the stage pauses and retries the mail
    THROTTLED = "throttled"  # not sent: the stage slows down and retries the mail


# The mail was not sent and stays reserved. It is retried without a state change.
WITHOUT_OUTCOME: Final = frozenset({MailStatus.UNAVAILABLE, MailStatus.THROTTLED})


@dataclass(frozen=True, slots=True)
class MailOutcome:
    """The status of a mail and its reason.

    `reply` is the server's text. It may hold personal data, so it is stored only in `email_delivery`. `quote`
    is the code and the part of the text that is the same for each email and names no person. `cause` explains
    a reply about the server or our sender, such as a rate limit.
    """

    status: MailStatus
    reason: str
    phase: Phase | None = None
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = None
    cause: str = ""
    quote: str | None = None

    @property
    def pause_reason(self) -> str:
        """Return the reason. If its cause is known, the cause and what the server says follow."""
        if not self.cause:
            return self.reason
        cause = f"{self.reason}: {self.cause}"
        return f'{cause} ("{self.quote}")' if self.quote else cause


def enhanced_status(text: str) -> str | None:
    """Return the enhanced status code (RFC 3463) at the start of a reply."""
    match = _ENHANCED.match(text)
    return intern(match.group(1)) if match else None


def classify_reply(phase: Phase, code: int, enhanced: str | None, text: str = "") -> tuple[MailStatus, str]:
    """Return the status of a mail that got this reply, and the cause of the reply.

    A reply before RCPT concerns our login, our sender or the server. A reply to RCPT or later concerns the
    mail, unless the reply's text or code shows another cause. The returned cause is empty if the reply
    concerns the mail, or if the cause is unknown. `text` is a result of `replies.normalize`.
    """
    if phase is Phase.BODY and 200 <= code < 300:
        return MailStatus.SENT, ""
    logged_in = phase not in (Phase.CONNECT, Phase.EHLO, Phase.LOGIN)
    if logged_in and replies.is_rate_limit(enhanced, text):
        return MailStatus.THROTTLED, RATE_LIMIT
    if logged_in and phase is not Phase.MAIL:
        if replies.is_sender_refusal(code, enhanced, text):
            return MailStatus.UNAVAILABLE, SENDER_REFUSED
        return _status_of_code(phase, code, enhanced), ""
    return MailStatus.UNAVAILABLE, ""


def _status_of_code(phase: Phase, code: int, enhanced: str | None) -> MailStatus:
    if code == 421 or (enhanced and (enhanced.startswith(_SERVER_SUBJECTS) or enhanced in _SERVER_STATUSES)):
        return MailStatus.UNAVAILABLE
    if 400 <= code < 500:
        return MailStatus.WAITING
    if 500 <= code < 600:
        return MailStatus.DEAD
    # Not a valid SMTP reply. Before the body the server is faulty; after it the mail may have been accepted.
    return MailStatus.UNKNOWN if phase is Phase.BODY else MailStatus.UNAVAILABLE


def outcome_of_reply(
    phase: Phase, code: int, text: str, sender: str = "", recipients: Collection[str] = ()
) -> MailOutcome:
    """Return the outcome of a mail from `sender` to `recipients` that got this reply in this phase."""
    enhanced = enhanced_status(text)
    status, cause = classify_reply(phase, code, enhanced, replies.normalize(text, recipients))
    refused = status in (MailStatus.WAITING, MailStatus.DEAD)
    if refused and replies.names_only_sender(text, sender, recipients):
        status, cause = MailStatus.UNAVAILABLE, SENDER_REFUSED
    reply = f"{code} {enhanced}" if enhanced else str(code)
    reason = _reason(reply, phase)
    if status is MailStatus.SENT:
        return MailOutcome(status, reason, phase, code, enhanced, text[:1000], cause)
    quote = f"{reply} {replies.quotable_text(text, recipients)}".rstrip()
    return MailOutcome(status, reason, phase, code, enhanced, text[:1000], cause, quote)


# Most replies give the same reason, and the cache of outcomes has 10,000 of them.
@lru_cache(maxsize=256)
def _reason(reply: str, phase: Phase) -> str:
    return Reason.SMTP_REPLY.format(reply=reply, phase=phase)


def outcome_without_reply(phase: Phase, reason: Reason) -> MailOutcome:
    """Return the outcome of a mail that got no reply.

    The outcome is `unknown` in the phase BODY, and `unavailable` in any other phase.
    """
    status = MailStatus.UNKNOWN if phase is Phase.BODY else MailStatus.UNAVAILABLE
    return MailOutcome(status, reason.format(phase=phase), phase)


def outcome_of_rejected_recipients(outcomes: list[MailOutcome]) -> MailOutcome:
    """Choose the outcome of a mail from the outcomes of its refused recipients.

    An outcome that allows a retry takes precedence over a permanent one.
    """
    for status in (MailStatus.UNAVAILABLE, MailStatus.THROTTLED, MailStatus.WAITING):
        for outcome in outcomes:
            if outcome.status is status:
                return outcome
    return outcomes[0]


def span_attributes(outcome: MailOutcome) -> dict[str, str | int]:
    """Return the attributes of the SMTP span. They hold no personal data, so they omit the server's text."""
    attributes = {
        "smtp.outcome": str(outcome.status),
        "smtp.phase": outcome.phase and str(outcome.phase),
        "smtp.response.code": outcome.code,
        "smtp.response.enhanced_code": outcome.enhanced,
        "smtp.reason": outcome.reason,
    }
    return {name: value for name, value in attributes.items() if value is not None}


PROCESS_DIED: Final = MailOutcome(MailStatus.UNKNOWN, Reason.PROCESS_DIED, Phase.BODY)
