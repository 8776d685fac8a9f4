"""The same refusal for different recipients in a row: then it is about us. Pure: no I/O, no clock."""

from collections.abc import Collection
from typing import Final

from services.notifier.smtp.outcome import Outcome, Verdict
from services.notifier.smtp.replies import is_about_recipient, plain, shape

DIFFERENT_RECIPIENTS: Final = 3


class RefusalStreak:
    """Counts mails to different recipients that got one reply since a mail was accepted.

    One mail counts once, however many recipients it has: one alert that a spam filter refuses is no streak.
    Only a streak that holds an alert to the admins counts: visitors choose the other recipients, and could
    stop the stage with addresses that one server refuses alike.
    """

    def __init__(self, admins: Collection[str]) -> None:
        self._admins = frozenset(admins)
        self._reply: tuple[object, ...] = ()
        self._recipients = set[frozenset[str]]()

    def is_about_us(self, outcome: Outcome, recipients: Collection[str]) -> bool:
        """Take in the outcome of one mail; return True where everybody gets this reply."""
        if outcome.verdict is Verdict.SENT:
            self._recipients.clear()
        if outcome.verdict not in (Verdict.DEAD, Verdict.WAITING) or outcome.code is None:
            return False
        if is_about_recipient(outcome.enhanced):
            return False
        reply = (
            outcome.phase,
            outcome.code,
            outcome.enhanced,
            shape(plain(outcome.answer or "", recipients)),
        )
        if reply != self._reply:
            self._reply = reply
            self._recipients.clear()
        self._recipients.add(frozenset(recipients))
        admins = any(not self._admins.isdisjoint(each) for each in self._recipients)
        return admins and len(self._recipients) >= DIFFERENT_RECIPIENTS
