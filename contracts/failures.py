"""A lead's failure in one stage: `LeadFailed` and `LeadDead`, which travel as headers.

On the failed, retry and dead topics the value is the original bytes, so that nothing is lost of
what could not be understood; what we know about the failure stands beside it.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Protocol, Self
from uuid import UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts import headers as h
from contracts.times import ClampedTimestamp

Stage = Literal["persister", "notifier", "site"]
Kind = Literal["store", "audit", "welcome", "admin_alert", "pull"]

# The kind of a failed audit record, which is no lead: named by its origin, replayed to its own topic.
AUDIT_KIND: Final = "audit"

_YEAR_2200_MS: Final = 7_258_118_400_000
_NAMESPACE = UUID("5f0c2c8e-6f6b-5b0e-9a3e-0d6a0f4c7f11")


class Record(Protocol):
    """What names a record: its place and time. A log that lost its tail has other records at old offsets."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102


def failure_event_id(record: Record, stage: Stage, kind: Kind) -> UUID:
    """Name one failure after the record in hand, so that a repeat is a no-op and a second is not."""
    place = f"{record.topic}\n{record.partition}\n{record.offset}\n{record.timestamp}"
    return uuid5(_NAMESPACE, f"{place}\n{stage}\n{kind}")


def legacy_failure_event_id(record: Record, stage: Stage, kind: Kind) -> UUID:
    """Return the id that earlier versions gave this failure, without the record's time.

    Kafka and the database still hold such ids. Where the time of the failure is known, compare it too:
    a record at the offset of a lost one has the same id.
    """
    return uuid5(_NAMESPACE, f"{record.topic}\n{record.partition}\n{record.offset}\n{stage}\n{kind}")


def within_calendar(milliseconds: int) -> int:
    """Bring a time that Kafka tells, which may be any, between the years 1970 and 2200."""
    return min(max(milliseconds, 0), _YEAR_2200_MS)


# Kafka takes any time from a producer. A refused one would stop the stage that tells of the failure.
Milliseconds = Annotated[int, AfterValidator(within_calendar)]


class Origin(BaseModel):
    """Where a record was first read. `timestamp_ms` is Kafka's, in milliseconds since 1970."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int
    offset: int
    timestamp_ms: Milliseconds
    consumer_group: str

    @property
    def timestamp(self) -> int:
        """Return the record's time under the name that records have for it."""
        return self.timestamp_ms

    @classmethod
    def of(cls, record: Any, group: str) -> Self:
        """Name the place of an aiokafka record that this group has in hand."""
        return cls(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            consumer_group=group,
        )


class LeadFailed(BaseModel):
    """One stage failed for one lead.

    `final` means that no retry can help. `reason` is our own word plus SQLSTATE or the SMTP code,
    never a server's text: that may hold personal data. `attempts` counts the retries already sent.
    `queue_id` names the `replay_queue` row that sent the record in hand, where there is one.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    event_id: UUID
    occurred_at: ClampedTimestamp
    stage: Stage
    kind: Kind
    final: bool
    reason: str = Field(max_length=200)
    error: str = Field(max_length=200)
    origin: Origin
    queue_id: UUID | None = None
    attempts: int = 0

    def to_headers(self, record_headers: h.Headers | tuple[tuple[str, bytes], ...] = ()) -> h.Headers:
        """Write this failure as headers behind what the record keeps of its own."""
        kept: h.Headers = [
            (name, value.encode()) for name in h.PASSED_ON if (value := h.text(record_headers, name))
        ]
        named = {
            h.EVENT_ID: self.event_id,
            h.QUEUE_ID: self.queue_id,
            h.STAGE: self.stage,
            h.KIND: self.kind,
            h.FINAL: "true" if self.final else "false",
            h.ORIGINAL_TOPIC: self.origin.topic,
            h.ORIGINAL_PARTITION: self.origin.partition,
            h.ORIGINAL_OFFSET: self.origin.offset,
            h.ORIGINAL_TIMESTAMP: self.origin.timestamp_ms,
            h.ORIGINAL_GROUP: self.origin.consumer_group,
            h.EXCEPTION_FQCN: self.error,
            h.EXCEPTION_MESSAGE: self.reason,
            h.RETRY_ATTEMPTS: self.attempts,
            h.RETRY_ORIGINAL_TIMESTAMP: self.origin.timestamp_ms,
            h.RETRY_BACKOFF_TIMESTAMP: int(self.occurred_at.timestamp() * 1000),
        }
        return kept + [(k, str(v).encode()) for k, v in named.items() if v is not None]

    @classmethod
    def from_headers(cls, record_headers: h.Headers | tuple[tuple[str, bytes], ...]) -> Self:
        """Read a failure back. Raises `ValueError` (pydantic's) where a header is missing or wrong."""

        def read(name: str) -> str | None:
            return h.text(record_headers, name)

        at_ms = int(read(h.RETRY_BACKOFF_TIMESTAMP) or 0)
        return cls.model_validate(
            {
                "event_id": read(h.EVENT_ID),
                "occurred_at": datetime.fromtimestamp(at_ms / 1000, UTC),
                "stage": read(h.STAGE),
                "kind": read(h.KIND),
                "final": read(h.FINAL) == "true",
                "reason": read(h.EXCEPTION_MESSAGE),
                "error": read(h.EXCEPTION_FQCN),
                "queue_id": read(h.QUEUE_ID),
                "attempts": read(h.RETRY_ATTEMPTS) or 0,
                "origin": {
                    "topic": read(h.ORIGINAL_TOPIC),
                    "partition": read(h.ORIGINAL_PARTITION),
                    "offset": read(h.ORIGINAL_OFFSET),
                    "timestamp_ms": read(h.ORIGINAL_TIMESTAMP),
                    "consumer_group": read(h.ORIGINAL_GROUP),
                },
            }
        )


class LeadDead(LeadFailed):
    """A lead that this stage gave up on: archived on `leads.dead.v1`, kept for a person to decide."""


def first_origin(record_headers: h.Headers | tuple[tuple[str, bytes], ...], in_hand: Origin) -> Origin:
    """Return the origin that a record already carries, else the record in hand.

    Only the first origin is kept; otherwise headers grow with every round (Spring Kafka's rule).
    """
    topic = h.text(record_headers, h.ORIGINAL_TOPIC)
    if topic is None:
        return in_hand
    try:
        return Origin.model_validate(
            {
                "topic": topic,
                "partition": h.text(record_headers, h.ORIGINAL_PARTITION),
                "offset": h.text(record_headers, h.ORIGINAL_OFFSET),
                "timestamp_ms": h.text(record_headers, h.ORIGINAL_TIMESTAMP),
                "consumer_group": h.text(record_headers, h.ORIGINAL_GROUP),
            }
        )
    except ValueError:
        return in_hand
