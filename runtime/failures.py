"""The failures of the pipeline. Adapters translate drivers' errors into these; the consumer acts on them.

| failure | what the consumer does |
|---|---|
| `PermanentError` | dead-letters the record and commits it: no retry can help |
| `RetryableError` | sends the record to the replay queue and commits it; the other records continue |
| `DependencyUnavailable` | pauses, and processes the same records again; counts no retry |
| `DependencyRefused` | halves the batch; queues a single refused record if others are accepted, else pauses |
| `PartitionsBusy` | pauses these partitions only; the other records continue |
| `RewindRequired` | seeks back, and compares the ledger with Kafka |

Any other exception is a bug: the consumer isolates the record and tries it three times, then treats it as a
`RetryableError`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass


class Failure(Exception):
    """An expected failure. `reason` has our own words and codes, never a driver's text (personal data)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PermanentError(Failure):
    """The record can never be processed. Dead-letter it and continue with the next record."""


class RetryableError(Failure):
    """The record failed, but other records may succeed. Send it to the replay queue and continue."""


class RewindRequired(Exception):
    """The ledger cannot count these records: earlier offsets are not counted yet, or the log was replaced.

    Seek to `offsets`, then compare the ledger with Kafka. Call `confirm` after the seek. If the records that
    arrive then still begin at a later offset, Kafka has no record at the offsets before them, and the ledger
    raises no second `RewindRequired`.
    """

    def __init__(
        self,
        offsets: dict[tuple[str, int], int],
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("records do not continue the ledger")
        self.offsets = offsets
        self.confirm = confirm


class PartitionsBusy(Exception):
    """Another process is processing a record of these partitions.

    Redeliver the records from `offsets` on after `seconds`. All other records of the batch are completed.
    """

    def __init__(self, offsets: dict[tuple[str, int], int], seconds: float) -> None:
        super().__init__("another process is processing records of these partitions")
        self.offsets = offsets
        self.seconds = seconds


class DependencyUnavailable(Failure):
    """A dependency does not work. Pause with a backoff, and do not count this as a retry.

    `dependency` is its name in readiness (`kafka`, `database`, `smtp`).
    """

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(reason)
        self.dependency = dependency


class DependencyRefused(DependencyUnavailable):
    """A dependency answered, but refused a statement.

    If it accepts other records, the refused record is at fault.
    """


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter, in seconds."""

    base_seconds: float = 0.5
    cap_seconds: float = 10.0

    def seconds(self, attempt: int, rng: random.Random | None = None) -> float:
        """Return a random wait before attempt `attempt` (from 0): between half and all of its backoff.

        The wait is never near zero: that would overload a server that has just come back.
        """
        step = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt, 30))
        return step * (0.5 + (rng.random() if rng else random.random()) / 2)  # noqa: S311 - jitter, not a secret
