"""The failure words. Adapters translate what drivers raise into these; the consumer acts on them.

| word | what happens |
|---|---|
| `PermanentError` | the record is dead-lettered as final and committed: no retry can help |
| `RetryableError` | the record goes to the replay queue and is committed: the others go on |
| `DependencyUnavailable` | the stage pauses and comes back to the same records: no retry is burned |
| `DependencyRefused` | `DependencyUnavailable`, unless one record is at fault: the batch is narrowed first |

Anything else is a bug: it is narrowed to one record, tried three times, then treated as `RetryableError`.
"""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass


class Failure(Exception):
    """A known failure. `reason` is our own word and a code, never a driver's text (personal data)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PermanentError(Failure):
    """The record can never be processed: dead-letter it and go on."""


class RetryableError(Failure):
    """The record failed, others may not: hand it to the replay queue and go on."""


class RewindRequired(Exception):
    """The records do not continue the ledger: compare it with Kafka, and go back to these offsets.

    `other_logs` are partitions of which a record is another than the one that the ledger counted there.
    Call `confirm` once the consumer has gone back: offsets that then still do not come hold no record.
    """

    def __init__(
        self,
        offsets: dict[tuple[str, int], int],
        other_logs: Collection[tuple[str, int]] = (),
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("records do not continue the ledger")
        self.offsets = offsets
        self.other_logs = other_logs
        self.confirm = confirm


class PartitionsBusy(Exception):
    """Another process has something of these partitions in hand: they wait, from these offsets on.

    Every other record of the batch is taken.
    """

    def __init__(self, offsets: dict[tuple[str, int], int], seconds: float) -> None:
        super().__init__("another process has records in hand")
        self.offsets = offsets
        self.seconds = seconds


class DependencyUnavailable(Failure):
    """Something outside is away: pause, back off, burn nothing.

    `dependency` names it for readiness (`kafka`, `database`, `smtp`).
    """

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(reason)
        self.dependency = dependency


class DependencyRefused(DependencyUnavailable):
    """A server that answers has refused a statement: one record is at fault where others are taken."""


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter, in seconds."""

    base_seconds: float = 0.5
    cap_seconds: float = 10.0

    def seconds(self, attempt: int, rng: random.Random | None = None) -> float:
        """Return the wait before attempt `attempt` (from 0): between half of the step and all of it.

        Not full jitter: a wait near zero would hammer a server that has just come back.
        """
        step = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt, 30))
        return step * (0.5 + (rng.random() if rng else random.random()) / 2)  # noqa: S311 - jitter, not a secret
