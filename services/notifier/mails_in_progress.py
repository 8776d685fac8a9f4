"""The mails that this process began, and the outcomes that it remembers. No I/O."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from services.notifier.batch_plan import Delivery, Key
from services.notifier.smtp.outcome import NO_OUTCOME, Outcome

# Committed outcomes that are remembered: more than two batches can bring (500 records, two mails each).
REMEMBERED: Final = 10_000

Holds = Callable[[str, int], bool]


@dataclass(frozen=True)
class Begun:
    """One mail: the record that asked for it, and whether its outcome is committed."""

    topic: str
    partition: int
    record_id: UUID
    task: asyncio.Task[Outcome]
    committed: bool = False


class BegunMails:
    """Knows which mails are under way, and what became of the last ones.

    An outcome is remembered after its commit: a database that fails over to an asynchronous standby forgets
    it, the record comes again, and its mail must not be sent again. `holds` says whether this process reads
    a partition; the mails of one that moved are forgotten.
    """

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._mails = dict[Key, Begun]()

    def __contains__(self, key: object) -> bool:
        return key in self._mails

    def __iter__(self) -> Iterator[Key]:
        return iter(self._mails)

    def __len__(self) -> int:
        return len(self._mails)

    def forget_moved(self) -> None:
        """Forget the mails of partitions that other members have now; what is under way ends first."""
        for key, begun in list(self._mails.items()):
            if begun.task.done() and not self._holds(begun.topic, begun.partition):
                del self._mails[key]

    def forget_other(self, delivery: Delivery) -> None:
        """Forget the answer to another record: this one asks for its mail anew."""
        begun = self._mails.get(delivery.key)
        if begun and begun.record_id != delivery.record_id:
            del self._mails[delivery.key]

    def find(self, delivery: Delivery) -> asyncio.Task[Outcome] | None:
        """Return the mail that is under way, or whose outcome is known, for this record."""
        begun = self._mails.get(delivery.key)
        if begun is None or (begun.committed and begun.record_id != delivery.record_id):
            return None
        return begun.task

    def add(self, delivery: Delivery, task: asyncio.Task[Outcome]) -> None:
        """Note that a mail is under way."""
        record = delivery.record
        self._mails[delivery.key] = Begun(record.topic, record.partition, delivery.record_id, task)

    def committed(self, key: Key) -> None:
        """Note that the outcome of a mail is in the database."""
        begun = self._mails.pop(key)
        if begun.task.result().verdict not in NO_OUTCOME:
            self._mails[key] = replace(begun, committed=True)  # at the end: the newest
        if len(self._mails) > REMEMBERED:
            oldest = next((each for each, mail in self._mails.items() if mail.committed), None)
            self.discard(oldest)

    def discard(self, key: Key | None) -> None:
        """Forget a mail that came to nothing."""
        if key is not None:
            self._mails.pop(key, None)

    def is_free(self, key: Key) -> bool:
        """Return True for a mail that was not begun, or came to nothing."""
        if key not in self._mails:
            return True
        task = self._mails[key].task
        return task.done() and (task.exception() is not None or task.result().verdict in NO_OUTCOME)
