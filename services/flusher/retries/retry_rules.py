"""Decides when a failed record is sent again, and the next state of its row. No I/O; `now` is an argument.

The table shows the next state of a row for each of three events.

| row is         | failed, retries left         | failed permanently  | sent                       |
|----------------|------------------------------|---------------------|----------------------------|
| missing        | waiting, due now             | dead                |                            |
| waiting        | no change                    | dead, if final      | replaying                  |
| replaying      | waiting, due by the schedule | dead                | replaying                  |
| resolved       | waiting, due now             | dead                |                            |
| dead, archived | no change: an admin decides  | no change           | replaying, 3 new retries   |

A record has failed permanently if the failure is final, or if the third retry failed. If no result arrives
within an hour, a replaying row is sent again.

No failure is discarded, so a resolved row becomes waiting again after a new failure. If the lead was stored
or mailed after all, the stage recognizes the retry as a duplicate and the row becomes resolved again.
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
from contracts.failures import AUDIT_KIND, SITE, Kind, LeadDead, LeadFailed, Origin, Stage
from runtime.failures import DependencyUnavailable

State = Literal["waiting", "replaying", "resolved", "dead", "archived"]
Cause = Literal["automatic", "requested", "overdue"]

# The wait before each automatic retry: the next tick, then long enough for a deploy or for an outage of a
# provider to pass. After the third failed retry the row is dead, and an admin decides.
WAITS: Final = (timedelta(0), timedelta(minutes=15), timedelta(minutes=60))
# Added to the wait, so that a retry is never early and a thousand are spread out.
JITTER: Final = 0.2
# A row without a result for so long is sent again, without using up a retry: its stage is unavailable, or has
# lost the record.
OVERDUE_AFTER: Final = timedelta(hours=1)


class RetryTarget(NamedTuple):
    """Where rows are sent: a stage's retry topic, a record's original topic, or the gateway for one website.

    If one target fails, rows for other targets are not delayed.
    """

    stage: str
    name: str


@dataclass(frozen=True)
class Row:
    """The columns of a `replay_queue` row that are needed to choose its next state and to send it."""

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
        """The position and the consumer group of the record that failed first, before any retry."""
        return Origin(
            topic=self.origin_topic,
            partition=self.origin_partition,
            offset=self.origin_offset,
            timestamp_ms=round(self.origin_timestamp.timestamp() * 1000),
            consumer_group=self.origin_group,
        )

    @property
    def target(self) -> RetryTarget:
        """The target to which this row is sent. `queries.sql` computes the same value."""
        by_origin = self.by_origin or self.stage == SITE
        return RetryTarget(self.stage, self.origin_topic if by_origin else self.stage)

    def failure(self, event_id: UUID, now: datetime) -> LeadFailed:
        """Return the row's last failure, with a new event id and time.

        The result describes the failure in the headers of a record, or in an audit entry.
        """
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
    """The state of a row after a failure."""

    state: State
    attempts: int
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class OutgoingRecord:
    """A record to publish. `topic` is the topic's name without the installation's prefix."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: h.Headers


@dataclass
class SendResult:
    """The results of sending a chunk of rows. Each row is in one of the lists.

    - `acknowledged`: sent to a stage, and Kafka has acknowledged the record
    - `delivered`: a website's or form builder's lead that was accepted
    - `refused`: a website's or form builder's lead that was refused
    - `unsendable`: a row that can never be sent
    - `unavailable`: a row that can be sent later

    In the first two lists, each row is paired with its event id. In the others, it is paired with the reason.
    """

    acknowledged: list[tuple[Row, UUID]] = field(default_factory=list)
    delivered: list[tuple[Row, UUID]] = field(default_factory=list)
    refused: list[tuple[Row, str]] = field(default_factory=list)
    unsendable: list[tuple[Row, str]] = field(default_factory=list)
    # Not sent because a dependency is unavailable. It counts as no retry.
    unavailable: list[tuple[Row, DependencyUnavailable]] = field(default_factory=list)

    def postpone(self, rows: Sequence[Row], error: DependencyUnavailable) -> None:
        """Move these rows from `refused` and `unsendable` to `unavailable`, with this error."""
        ids = {row.id for row in rows}
        self.refused = [each for each in self.refused if each[0].id not in ids]
        self.unsendable = [each for each in self.unsendable if each[0].id not in ids]
        self.unavailable += [(row, error) for row in rows]

    def unreachable(self) -> dict[RetryTarget, str]:
        """Return each target to which no row of the chunk could be sent, with the reason."""
        answered = {row.target for row, _ in (*self.acknowledged, *self.delivered, *self.refused)}
        return {row.target: error.reason for row, error in self.unavailable if row.target not in answered}


def due_at(attempts: int, now: datetime, rng: random.Random) -> datetime:
    """Return the time of the next retry of a row that has been retried `attempts` times."""
    return now + WAITS[attempts] * (1 + JITTER * rng.random())


def after_failure(row: Row | None, *, final: bool, now: datetime, rng: random.Random) -> NextState | None:
    """Return the next state of a row after a new failure, or None if the row's state does not change.

    `row` is None if the record has no row yet.
    """
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
    """Return why this row is sent now: on schedule, on request, or because no result came in time."""
    if row.state == "replaying":
        return "overdue"
    return "requested" if row.requested_at else "automatic"


def requeue(row: Row, by: str, comment: str | None, now: datetime) -> Row | None:
    """Return a copy of the row that is ready to be sent again, as an admin requested.

    A dead or archived row gets three new retries. A waiting row keeps its number of retries. Returns None for
    a row that cannot be replayed: it is resolved or replaying, or has no payload.
    """
    if row.state in ("resolved", "replaying") or row.payload is None:
        return None
    attempts = row.attempts if row.state == "waiting" else 0
    return replace(
        row, final=False, attempts=attempts, requested_at=now, requested_by=by, requested_comment=comment
    )


def attempts_after_send(row: Row) -> int:
    """Return how many retries the row has used up after this send.

    Only a scheduled send uses up a retry. A send on request does not. A send that is repeated because no
    result came in time does not either.
    """
    return min(row.attempts + (cause_of(row) == "automatic"), len(WAITS))


def replay_record(row: Row, event_id: UUID, now: datetime) -> OutgoingRecord:
    """Return the record that a replay publishes, with the original bytes. A conflict is sent as a new lead.

    The topic depends on the record:

    - an audit record: `audit.recorded.v1`
    - an undecodable record or a conflict: `leads.received.v1`
    - any other record: the retry topic of the stage that failed
    """
    headers = row.failure(event_id, now).to_headers(_encode_headers(row.headers))
    if row.kind == AUDIT_KIND:
        return OutgoingRecord(topics.AUDIT.name, row.record_key, row.payload, headers)
    if not row.by_origin:
        return OutgoingRecord(topics.RETRY[row.stage].name, row.record_key, row.payload, headers)
    key, value = row.record_key, row.payload
    if row.replay_lead_id:
        key, value = str(row.replay_lead_id).encode(), _reissue(value or b"", row.id, row.replay_lead_id)
    return OutgoingRecord(topics.RECEIVED.name, key, value, headers)


def dead_letter_of(
    failure: LeadFailed, key: bytes | None, payload: bytes | None, headers: dict[str, str]
) -> OutgoingRecord:
    """Return the dead letter for `leads.dead.v1`: the original bytes and the failure."""
    dead = LeadDead.model_validate(failure.model_dump())
    return OutgoingRecord(topics.DEAD.name, key, payload, dead.to_headers(_encode_headers(headers)))


def _encode_headers(headers: dict[str, str]) -> h.Headers:
    return [(name, value.encode()) for name, value in headers.items()]


def _reissue(value: bytes, queue_id: UUID, lead_id: UUID) -> bytes:
    """Give a conflicting lead new ids, so that it is stored as a new lead.

    The ids are derived from the row, so they are the same each time the row is sent. The new request id
    contains the row's id. An admin finds the lead that was stored first by the row's audit entries, which
    have that lead's id.
    """
    lead = json.loads(value)
    lead |= {
        "lead_id": str(lead_id),
        "event_id": str(uuid5(lead_id, "lead.received")),
        "request_id": f"conflict-{queue_id}",
    }
    return json.dumps(lead, ensure_ascii=False, separators=(",", ":")).encode()
