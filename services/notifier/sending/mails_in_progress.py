"""The mails that this process is sending, and its cache of committed outcomes. No I/O."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.notifier.deliveries import Delivery, Key
from services.notifier.smtp.outcome import WITHOUT_OUTCOME, MailOutcome

# More than two batches of mails: a batch has at most 500 records, and a record requests two mails.
CACHED_OUTCOMES: Final = 10_000

Holds = Callable[[str, int], bool]


@dataclass(slots=True)
class MailInProgress:
    """A mail that is being sent or was sent: its partition, the id of its record, and its outcome.

    `outcome` is the task that sends the mail. Once the outcome is committed, it is the outcome itself: the
    task also keeps its context in memory, with the span of the email, and the cache has 10,000 outcomes.
    """

    topic: str
    partition: int
    record_id: UUID
    outcome: asyncio.Future[MailOutcome] | MailOutcome

    @property
    def is_committed(self) -> bool:
        """Return True if the outcome is committed."""
        return isinstance(self.outcome, MailOutcome)

    @property
    def is_done(self) -> bool:
        """Return True if the mail is not being sent any more."""
        return isinstance(self.outcome, MailOutcome) or self.outcome.done()


class MailsInProgress:
    """Tracks the mails that are being sent, and caches the outcomes of the last mails.

    An outcome stays in the cache after its commit, because a failover to an asynchronous standby may lose the
    commit. Kafka then redelivers the record, and the cached outcome prevents a second mail. `holds(topic,
    partition)` returns True if the partition is assigned to this process.
    """

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._mails = dict[Key, MailInProgress]()
        self._partitions = set[tuple[str, int]]()

    def __contains__(self, key: object) -> bool:
        return key in self._mails

    def __iter__(self) -> Iterator[Key]:
        return iter(self._mails)

    def __len__(self) -> int:
        return len(self._mails)

    def remove_revoked(self) -> None:
        """Remove the finished mails of partitions that are no longer assigned to this process."""
        if all(self._holds(*partition) for partition in self._partitions):
            return
        for key, mail in list(self._mails.items()):
            if mail.is_done and not self._holds(mail.topic, mail.partition):
                del self._mails[key]
        self._partitions = {(mail.topic, mail.partition) for mail in self._mails.values()}

    def remove_superseded(self, delivery: Delivery) -> None:
        """Remove the mail if an earlier record requested it.

        The record of `delivery` is a new request for the mail, so the outcome of the earlier request does not
        apply.
        """
        mail = self._mails.get(delivery.key)
        if mail and mail.record_id != delivery.record_id:
            del self._mails[delivery.key]

    def find(self, delivery: Delivery) -> asyncio.Future[MailOutcome] | None:
        """Return the outcome of this mail as a future, or None if the mail is unknown.

        A committed outcome counts only if it belongs to the record of `delivery`.
        """
        mail = self._mails.get(delivery.key)
        if mail is None:
            return None
        if not isinstance(mail.outcome, MailOutcome):
            return mail.outcome
        if mail.record_id != delivery.record_id:
            return None
        committed: asyncio.Future[MailOutcome] = asyncio.get_running_loop().create_future()
        committed.set_result(mail.outcome)
        return committed

    def add(self, delivery: Delivery, task: asyncio.Task[MailOutcome]) -> None:
        """Add a mail that `task` is sending."""
        record = delivery.record
        self._partitions.add((record.topic, record.partition))
        self._mails[delivery.key] = MailInProgress(record.topic, record.partition, delivery.record_id, task)

    def mark_committed(self, key: Key) -> None:
        """Mark the outcome of a mail as committed.

        If the mail has no outcome (a status in `WITHOUT_OUTCOME`), remove it instead. If the cache is full,
        evicts the oldest committed outcome.
        """
        mail = self._mails.pop(key)
        if not isinstance(mail.outcome, MailOutcome):
            mail.outcome = mail.outcome.result()
        if mail.outcome.status not in WITHOUT_OUTCOME:
            self._mails[key] = mail  # at the end: the newest
        if len(self._mails) > CACHED_OUTCOMES:
            oldest = next((each for each, other in self._mails.items() if other.is_committed), None)
            self.discard(oldest)

    def discard(self, key: Key | None) -> None:
        """Remove a mail and its outcome. Does nothing if `key` is None or unknown."""
        if key is not None:
            self._mails.pop(key, None)

    def is_unsent(self, key: Key) -> bool:
        """Return True if the mail is not being sent and has certainly not been sent."""
        if key not in self._mails:
            return True
        outcome = self._mails[key].outcome
        if isinstance(outcome, MailOutcome):
            return outcome.status in WITHOUT_OUTCOME
        return outcome.done() and (
            outcome.exception() is not None or outcome.result().status in WITHOUT_OUTCOME
        )
