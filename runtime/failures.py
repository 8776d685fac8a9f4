"""The failures of the pipeline. Adapters translate drivers' errors into these; the consumer acts on them.

| failure | what the consumer does |
|---|---|
| `PermanentError` | dead-letters the record and commits it: no retry can help |
| `RetryableError` | sends the record to the replay queue and commits it; the other records continue |
| `DependencyUnavailable` | pauses, then processes the same records again; this does not count as a retry |
| `DependencyRefused` | halves the batch to find the refused record; pauses if every record is refused |
| `PartitionsBusy` | pauses these partitions only; the other records continue |
| `RewindRequired` | seeks back, and compares the ledger with Kafka |

Any other exception is a bug. The consumer isolates the record and tries it three times. Then it treats the
exception as a `RetryableError`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass


class Failure(Exception):
    """An expected failure. `reason` never quotes a driver's message, which may hold personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PermanentError(Failure):
    """The record can never be processed. Dead-letter it and continue with the next record."""


class RetryableError(Failure):
    """The record failed, but other records may succeed. Send it to the replay queue and continue."""


class RewindRequired(Exception):
    """The ledger cannot count these records.

    Either earlier offsets are not counted yet, or the log was replaced, or the ledger has no entry for the
    partition. The consumer must seek to `offsets`, call `confirm()`, and then compare the ledger with Kafka.

    Kafka may have no records at the earlier offsets. So after `confirm()`, the ledger counts the offsets
    before the next batch as missing. It does not raise `RewindRequired` for them again.
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
    """Another process is still processing a record of these partitions.

    After `seconds`, read these partitions again from `offsets`. The other records of the batch are completed.
    """

    def __init__(self, offsets: dict[tuple[str, int], int], seconds: float) -> None:
        super().__init__("another process is processing records of these partitions")
        self.offsets = offsets
        self.seconds = seconds


class DependencyUnavailable(Failure):
    """A dependency does not work. Pause with a backoff, and do not count this as a retry.

    `dependency` is the dependency's name in `/readyz`: `kafka`, `database` or `smtp`.
    """

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(reason)
        self.dependency = dependency


class DependencyRefused(DependencyUnavailable):
    """A dependency answered, but refused a statement.

    The record is at fault if the dependency accepts other records. Otherwise the dependency is at fault.
    """


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter, in seconds."""

    base_seconds: float = 0.5
    cap_seconds: float = 10.0

    def seconds(self, attempt: int, rng: random.Random | None = None) -> float:
        """Return how long to wait before an attempt. The number of the first attempt is 0.

        The wait is a random value from 50 to 100 % of the attempt's backoff. A wait near zero would overload
        a server that has just come back.
        """
        step = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt, 30))
        return step * (0.5 + (rng.random() if rng else random.random()) / 2)  # noqa: S311 - jitter, not a secret
