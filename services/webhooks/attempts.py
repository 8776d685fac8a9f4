"""An attempt to deliver: the claim before its request, and the state of the delivery after it. No I/O."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True)
class Claim:
    """A delivery that this process sends now.

    - `body` is None if the lead was erased meanwhile.
    - `retries` is the number of retries before this attempt.
    - `is_interrupted` is True if the attempt before this one has no outcome, because its process ended.
    - `deadline` is the end of the lease, on this process's monotonic clock in seconds.
    """

    destination: str
    event_id: UUID
    lead_id: UUID
    type: str
    body: str | None = field(repr=False)
    retries: int
    is_interrupted: bool
    traceparent: str | None
    claimed_at: datetime
    owner: UUID
    deadline: float


@dataclass(frozen=True)
class NextState:
    """The state of a delivery after an attempt.

    `retries` is the number of retries so far. `wait` is the time until the next attempt, or None.
    """

    state: str
    retries: int
    wait: timedelta | None = None
