"""Detects that several recipients are refused in the same way: the cause may be our sender. No I/O."""

from collections.abc import Callable, Collection
from typing import Final

from services.notifier.smtp.outcome import MailOutcome, MailStatus
from services.notifier.smtp.replies import is_recipient_status, normalize, strip_variable_words

DIFFERENT_RECIPIENTS: Final = 3


class RefusalStreak:
    """Counts mails to different recipients that got the same refusal since the last accepted mail.

    A mail counts once, however many recipients it has. So one alert counts once, even if a spam filter
    refuses it for several admins. A streak must contain at least one alert to the admins. Otherwise visitors
    could pause the stage, by entering addresses that a server refuses.
    """

    def __init__(self, admins: Callable[[], Collection[str]]) -> None:
        """`admins` returns the recipients of alerts, which change with the sites file."""
        self._admins = admins
        self._reply: tuple[object, ...] = ()
        self._recipients = set[frozenset[str]]()

    def record_outcome(self, outcome: MailOutcome, recipients: Collection[str]) -> bool:
        """Record the outcome of one mail. Return True if the server seems to refuse every recipient."""
        if outcome.status is MailStatus.SENT:
            self._recipients.clear()
        if outcome.status not in (MailStatus.DEAD, MailStatus.WAITING) or outcome.code is None:
            return False
        if is_recipient_status(outcome.enhanced):
            return False
        reply = (
            outcome.phase,
            outcome.code,
            outcome.enhanced,
            strip_variable_words(normalize(outcome.reply or "", recipients)),
        )
        if reply != self._reply:
            self._reply = reply
            self._recipients.clear()
        self._recipients.add(frozenset(recipients))
        admins = frozenset(self._admins())
        has_alert = any(not admins.isdisjoint(each) for each in self._recipients)
        return has_alert and len(self._recipients) >= DIFFERENT_RECIPIENTS
