"""Decides from the latest emails of this process whether mail servers refuse most of them."""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from contracts.failures import Kind
from contracts.mail_failures import FAILED_STATES, NEWEST, still_fail
from runtime.health import Health
from runtime.tasks import seconds_to_next

PART: Final = "emails"
WINDOW_SECONDS: Final = 600.0
CHECK_SECONDS: Final = 15.0
MAX_OUTCOMES: Final = 2000
SHOWN_REASONS: Final = 2


@dataclass(frozen=True)
class _Outcome:
    at: float
    kind: Kind
    reason: str | None  # None: the email was sent


class RecentOutcomes:
    """The outcomes of the last ten minutes, as the part `emails` of the process's health.

    The part is always ok, because another process would be refused too. If most emails fail, its reason is a
    warning that quotes the servers, without personal data.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._outcomes = deque[_Outcome](maxlen=MAX_OUTCOMES)
        self.report(time.monotonic())

    def record(self, kind: Kind, state: str, reason: str, now: float) -> None:
        """Record the new state of an email at `now`, in monotonic seconds.

        `reason` says why the email failed. States that are no outcome of an attempt are left out.
        """
        if state == "sent" or state in FAILED_STATES:
            self._outcomes.append(_Outcome(now, kind, None if state == "sent" else reason))
            # A sent email cannot start a warning, and counting takes a tenth of the time of an email.
            if state != "sent" or self._health.parts[PART].reason:
                self.report(now)

    def report(self, now: float) -> None:
        """Set the part of the health. `now` is in monotonic seconds."""
        while self._outcomes and now - self._outcomes[0].at > WINDOW_SECONDS:
            self._outcomes.popleft()
        warning = self._warning()
        self._health.set(PART, ok=True, reason=f"warning: {warning}" if warning else "")

    async def run(self) -> None:
        """Report regularly until cancelled, so that a warning ends although no email is sent."""
        while True:
            await asyncio.sleep(seconds_to_next(CHECK_SECONDS))
            self.report(time.monotonic())

    def _warning(self) -> str:
        reasons = Counter[str]()
        names = list[str]()
        total = 0
        for kind, name in (("admin_alert", "team notifications"), ("welcome", "confirmations")):
            outcomes = [each for each in self._outcomes if each.kind == kind]
            failed = [each.reason for each in outcomes if each.reason is not None]
            newest = sum(each.reason is not None for each in outcomes[-NEWEST:])
            if still_fail(len(failed), newest):
                reasons.update(failed)
                names.append(name)
                total += len(outcomes)
        if not names:
            return ""
        shown = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(SHOWN_REASONS))
        return f"{reasons.total()} of {total} {' and '.join(names)} failed in the last ten minutes: {shown}"
