"""A lead's failure in one stage: `LeadFailed` and `LeadDead`, which are sent as headers.

A stage is a step in the processing of a lead, such as the persister, which stores it. A record on a failed,
retry or dead topic has the value of the failed record, byte for byte. So even a record that cannot be decoded
is not lost. The headers describe the failure.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Protocol, Self
from uuid import UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts import headers as h
from contracts.times import ClampedTimestamp

Stage = Literal["persister", "notifier", "webhooks", "site"]
Kind = Literal["store", "audit", "welcome", "admin_alert", "event", "pull"]

# The kind of a failed audit record. It belongs to no lead, is identified by its origin, and is retried on its
# own topic.
AUDIT_KIND: Final = "audit"
# The stage of leads that the gateway refused: a website had queued them, or a form builder had posted them.
SITE: Final = "site"
# `origin.topic` of a lead that a form builder posted: this and the site's name.
HOOK_ORIGIN: Final = "hook:"

_YEAR_2200_MS: Final = 7_258_118_400_000
_NAMESPACE = UUID("5f0c2c8e-6f6b-5b0e-9a3e-0d6a0f4c7f11")


class Record(Protocol):
    """The attributes that identify a Kafka record.

    They include the timestamp, because offsets may repeat: if a log loses its last records, new records get
    the offsets of the lost ones.
    """

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102


def failure_event_id(record: Record, stage: Stage, kind: Kind) -> UUID:
    """Return the id of a record's failure in a stage.

    The id is derived from the arguments, so a failure that is published twice has the same id both times. A
    retry is a new Kafka record. If the retry fails too, its failure has another id.
    """
    place = f"{record.topic}\n{record.partition}\n{record.offset}\n{record.timestamp}"
    return uuid5(_NAMESPACE, f"{place}\n{stage}\n{kind}")


def legacy_failure_event_id(record: Record, stage: Stage, kind: Kind) -> UUID:
    """Return the id that earlier versions of FASTCore gave this failure.

    Kafka and the database still contain such ids. They do not depend on the record's timestamp. So after a
    log lost its last records, two different records can have the same legacy id. Their timestamps differ.
    """
    return uuid5(_NAMESPACE, f"{record.topic}\n{record.partition}\n{record.offset}\n{stage}\n{kind}")


def within_calendar(milliseconds: int) -> int:
    """Limit the timestamp of a Kafka record to the years 1970 to 2200. A producer may set any number."""
    return min(max(milliseconds, 0), _YEAR_2200_MS)


# Kafka accepts any time from a producer. Rejecting one would stop the stage that reports the failure.
Milliseconds = Annotated[int, AfterValidator(within_calendar)]


class Origin(BaseModel):
    """The position in Kafka at which a record was read for the first time, before any retry.

    `timestamp_ms` is the timestamp of that record in Kafka, in milliseconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int
    offset: int
    timestamp_ms: Milliseconds
    consumer_group: str

    @property
    def timestamp(self) -> int:
        """Return `timestamp_ms` under the name that the protocol `Record` requires."""
        return self.timestamp_ms

    @classmethod
    def of(cls, record: Any, group: str) -> Self:
        """Return the origin of an aiokafka record that was read by the consumer group `group`."""
        return cls(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            consumer_group=group,
        )


class LeadFailed(BaseModel):
    """The failure of one lead in one stage.

    `final` means that no retry can help. `attempts` is the number of retries that were already sent. If the
    failed record was a retry, `queue_id` is the id of its row in `replay_queue`; otherwise None. `reason` is
    our own text with an SQLSTATE or SMTP code. It never contains a server's text, which may hold personal
    data.
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
        """Return the headers of the record that reports this failure.

        `record_headers` are the headers of the failed record. The ones listed in `PASSED_ON` are copied.
        """
        passed_on: h.Headers = [
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
        return passed_on + [(k, str(v).encode()) for k, v in named.items() if v is not None]

    @classmethod
    def from_headers(cls, record_headers: h.Headers | tuple[tuple[str, bytes], ...]) -> Self:
        """Return the failure that these headers describe.

        Raises `ValueError` if a header is missing or invalid.
        """

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
    """A failure that is not retried again.

    It is published to `leads.dead.v1`, so that a person can decide what to do with the lead.
    """


def first_origin(record_headers: h.Headers | tuple[tuple[str, bytes], ...], current: Origin) -> Origin:
    """Return the origin that a record's headers name, or `current` if they name no valid origin.

    The headers name only the first origin, as in Spring Kafka. A list of all origins would grow with every
    retry.
    """
    topic = h.text(record_headers, h.ORIGINAL_TOPIC)
    if topic is None:
        return current
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
        return current


def queue_id_of(record_headers: h.Headers | tuple[tuple[str, bytes], ...], stage: Stage) -> UUID | None:
    """Return the id of the `replay_queue` row that this record retries.

    Return None if the record is not a retry for this stage.
    """
    return h.uuid(record_headers, h.QUEUE_ID) if h.text(record_headers, h.STAGE) == stage else None
