"""When a failed record is sent again, and what becomes of its row. No I/O, no clock: `now` is given.

| row is         | it failed, retries left      | final, or failed after the third | it was sent           |
|----------------|------------------------------|----------------------------------|-----------------------|
| not there      | waiting, due now             | dead                             |                       |
| waiting        | stays, keeps its time        | dead (final only)                | replaying             |
| replaying      | waiting, due by the schedule | dead                             | replaying (after 1 h) |
| resolved       | waiting afresh, due now      | dead                             |                       |
| dead, archived | stays: a person has it       | stays                            | replaying, 3 new ones |

A resolved row comes back because a failure is never thrown away; where the effect is there after
all, the stage finds a duplicate and resolves it again.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple
from uuid import UUID, uuid5

from contracts import headers as h
from contracts import topics
from contracts.failures import AUDIT_KIND, Kind, LeadDead, LeadFailed, Origin, Stage
from runtime.failures import DependencyUnavailable

State = Literal["waiting", "replaying", "resolved", "dead", "archived"]
Cause = Literal["automatic", "requested", "overdue"]

# The wait before each automatic retry: the next tick, then long enough for a deploy or for an
# outage of somebody else's to pass. After the third failed retry a person looks.
WAITS: Final = (timedelta(0), timedelta(minutes=15), timedelta(minutes=60))
# The stage of leads that a website had queued: no consumer takes them, the gateway does.
SITE: Final = "site"
# Added, never taken away: a retry is never early, and a thousand do not come at once.
JITTER: Final = 0.2
# No word for so long after a send: the stage is away, or lost it. SendResult again, burning nothing.
OVERDUE_AFTER: Final = timedelta(hours=1)


class Destination(NamedTuple):
    """Where rows are sent: a stage's retry topic, the topic of an origin, or the gateway for one website.

    Rows of one destination wait for each other; rows of two never do.
    """

    stage: str
    name: str


@dataclass(frozen=True)
class Row:
    """A row of `replay_queue`, as far as a decision needs it."""

    id: UUID
    stage: Stage
    kind: Kind
    lead_id: UUID | None
    state: State
    final: bool
    by_origin: bool
    replay_lead_id: UUID | None
    reason: str
    error: str
    attempts: int
    requested_at: datetime | None
    requested_by: str | None
    origin_topic: str
    origin_partition: int
    origin_offset: int
    origin_timestamp: datetime
    origin_group: str
    record_key: bytes | None
    payload: bytes | None
    headers: dict[str, str]
    requested_comment: str | None = None

    @property
    def origin(self) -> Origin:
        """Where the record was first read."""
        return Origin(
            topic=self.origin_topic,
            partition=self.origin_partition,
            offset=self.origin_offset,
            timestamp_ms=round(self.origin_timestamp.timestamp() * 1000),
            consumer_group=self.origin_group,
        )

    @property
    def destination(self) -> Destination:
        """Where this row is sent; `queries.sql` computes the same."""
        by_origin = self.by_origin or self.stage == SITE
        return Destination(self.stage, self.origin_topic if by_origin else self.stage)

    def failure(self, event_id: UUID, now: datetime) -> LeadFailed:
        """Describe the row's last failure, for the record or the entry of something that happens now."""
        return LeadFailed(
            event_id=event_id,
            occurred_at=now,
            stage=self.stage,
            kind=self.kind,
            final=self.final,
            reason=self.reason[:200],
            error=self.error[:200],
            origin=self.origin,
            queue_id=self.id,
            attempts=attempts_after_send(self),
        )


@dataclass(frozen=True)
class NextState:
    """Where a row stands after a failure."""

    state: State
    attempts: int
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class OutgoingRecord:
    """A record to publish. `topic` is named without the prefix."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: h.Headers


@dataclass
class SendResult:
    """What became of a chunk: each row that Kafka has, with the send's event id, and the others.

    A website's lead goes to the gateway, whose answer is final: it was `delivered`, or `refused` again.
    """

    acknowledged: list[tuple[Row, UUID]] = field(default_factory=list)
    delivered: list[tuple[Row, UUID]] = field(default_factory=list)
    refused: list[tuple[Row, str]] = field(default_factory=list)
    unsendable: list[tuple[Row, str]] = field(default_factory=list)
    # Not sent, for a reason that is not the row's: it burns no retry.
    away: list[tuple[Row, DependencyUnavailable]] = field(default_factory=list)

    def postpone(self, rows: Sequence[Row], away: DependencyUnavailable) -> None:
        """Take these rows as not sent."""
        ids = {row.id for row in rows}
        self.refused = [each for each in self.refused if each[0].id not in ids]
        self.unsendable = [each for each in self.unsendable if each[0].id not in ids]
        self.away += [(row, away) for row in rows]

    def unreachable(self) -> dict[Destination, str]:
        """Return each destination that took nothing of this chunk, and why."""
        answered = {row.destination for row, _ in (*self.acknowledged, *self.delivered, *self.refused)}
        return {row.destination: away.reason for row, away in self.away if row.destination not in answered}


def due_at(attempts: int, now: datetime, rng: random.Random) -> datetime:
    """Return when the retry after `attempts` sent ones is due."""
    return now + WAITS[attempts] * (1 + JITTER * rng.random())


def after_failure(row: Row | None, *, final: bool, now: datetime, rng: random.Random) -> NextState | None:
    """Decide where a row stands after a new failure; None where it keeps its place."""
    if row is None or row.state == "resolved":
        return NextState("dead", 0, None) if final else NextState("waiting", 0, now)
    if row.state in ("dead", "archived"):
        return None
    if final or (row.state == "replaying" and row.attempts >= len(WAITS)):
        return NextState("dead", row.attempts, None)
    if row.state == "waiting":
        return None
    return NextState("waiting", row.attempts, due_at(row.attempts, now, rng))


def cause_of(row: Row) -> Cause:
    """Say why this row is sent now."""
    if row.state == "replaying":
        return "overdue"
    return "requested" if row.requested_at else "automatic"


def requeue(row: Row, by: str, comment: str | None, now: datetime) -> Row | None:
    """Take a row as an admin's replay wants it sent; None where there is nothing to send.

    One that had come to its end gets three new retries; one that waits keeps those it has.
    """
    if row.state in ("resolved", "replaying") or row.payload is None:
        return None
    attempts = row.attempts if row.state == "waiting" else 0
    return replace(
        row, final=False, attempts=attempts, requested_at=now, requested_by=by, requested_comment=comment
    )


def attempts_after_send(row: Row) -> int:
    """Count automatic retries only: an admin's wish and a repeat burn none."""
    return min(row.attempts + (cause_of(row) == "automatic"), len(WAITS))


def replay_record(row: Row, event_id: UUID, now: datetime) -> OutgoingRecord:
    """Make the record that a replay sends: the original bytes, to the stage that failed and no other.

    What is named by its origin goes where it came from: an audit record to `audit.recorded.v1`, a record that
    could not be decoded to `leads.received.v1` as it is, and a conflict there as a new lead.
    """
    headers = row.failure(event_id, now).to_headers(_kept(row.headers))
    if row.kind == AUDIT_KIND:
        return OutgoingRecord(topics.AUDIT.name, row.record_key, row.payload, headers)
    if not row.by_origin:
        return OutgoingRecord(topics.RETRY[row.stage].name, row.record_key, row.payload, headers)
    key, value = row.record_key, row.payload
    if row.replay_lead_id:
        key, value = str(row.replay_lead_id).encode(), _reissue(value or b"", row.id, row.replay_lead_id)
    return OutgoingRecord(topics.RECEIVED.name, key, value, headers)


def archived(
    failure: LeadFailed, key: bytes | None, payload: bytes | None, kept: dict[str, str]
) -> OutgoingRecord:
    """Make the record for `leads.dead.v1`: the original bytes, and why nobody could take them."""
    dead = LeadDead.model_validate(failure.model_dump())
    return OutgoingRecord(topics.DEAD.name, key, payload, dead.to_headers(_kept(kept)))


def _kept(headers: dict[str, str]) -> h.Headers:
    return [(name, value.encode()) for name, value in headers.items()]


def _reissue(value: bytes, queue_id: UUID, lead_id: UUID) -> bytes:
    """Give a conflicting lead ids of its own, the same at every send; all else stays.

    The request id names the queue row, whose audit trail leads back to the first lead.
    """
    lead = json.loads(value)
    lead |= {
        "lead_id": str(lead_id),
        "event_id": str(uuid5(lead_id, "lead.received")),
        "request_id": f"conflict-{queue_id}",
    }
    return json.dumps(lead, ensure_ascii=False, separators=(",", ":")).encode()
