"""Decides whether one mail causes its repeated dependency failures. No I/O, no clock.

A mail passes if the server accepts or refuses it. If other mails pass between the failures of one mail, that
mail is the cause, not the server.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.notifier.deliveries import Delivery, Key
from services.notifier.smtp.outcome import SENDER_REFUSED, MailOutcome, MailStatus, Phase

# From RCPT on: if a mail meets this many dependency failures while other mails pass, the mail is the cause.
FAILURES_OF_ONE_MAIL: Final = 3


@dataclass
class MailFailures:
    """The dependency failures of one mail, and how many mails had passed before its first failure."""

    topic: str
    partition: int
    count: int
    passed_before: int
    welcomes_before: int


class RepeatedFailures:
    """Counts each mail's dependency failures, and all mails that the server has accepted or refused.

    If a mail fails repeatedly while the server answers other mails, the mail is the cause, not the server.
    """

    def __init__(self) -> None:
        self._failures = dict[Key, MailFailures]()
        self._passed = self._welcomes_passed = 0

    def __len__(self) -> int:
        return len(self._failures)

    def count_of(self, key: Key) -> int:
        """Return the number of dependency failures of this mail."""
        return self._failures[key].count if key in self._failures else 0

    def remove(self, key: Key) -> None:
        """Reset the number of failures of this mail."""
        self._failures.pop(key, None)

    def remove_revoked(self, holds: Callable[[str, int], bool]) -> None:
        """Forget the failures of mails whose partitions are no longer assigned to this process."""
        for key, failures in list(self._failures.items()):
            if not holds(failures.topic, failures.partition):
                del self._failures[key]

    def record_passed(self, delivery: Delivery, outcome: MailOutcome) -> None:
        """Count a mail that passes: the server accepted or refused it, so the server works."""
        self._passed += 1
        self._welcomes_passed += delivery.kind == "welcome" and outcome.status is MailStatus.SENT

    def is_caused_by_mail(self, delivery: Delivery, outcome: MailOutcome) -> bool:
        """Count a dependency failure of this mail. Return True if the mail itself is the cause."""
        if outcome.phase not in (Phase.RCPT, Phase.DATA, Phase.BODY):
            return False
        record = delivery.record
        failures = self._failures.setdefault(
            delivery.key,
            MailFailures(record.topic, record.partition, 0, self._passed, self._welcomes_passed),
        )
        failures.count += 1
        if failures.count < FAILURES_OF_ONE_MAIL:
            return False
        # A relay that accepts mail only to its own domain accepts the alerts. So only an accepted welcome
        # shows that the server accepts our sender.
        if outcome.cause == SENDER_REFUSED:
            return self._welcomes_passed > failures.welcomes_before
        return self._passed > failures.passed_before
