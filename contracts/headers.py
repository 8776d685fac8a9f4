"""The names of the Kafka headers, and functions to read headers.

The retry and dead-letter headers have the names of Spring Kafka, so that tools for Spring Kafka can read our
records. The values are UTF-8 text. Spring writes binary numbers, which FastStream's parser cannot read.
"""

from typing import Final
from uuid import UUID

Headers = list[tuple[str, bytes]]

CONTENT_TYPE: Final = "content-type"
CORRELATION_ID: Final = "correlation_id"
TRACEPARENT: Final = "traceparent"

EVENT_ID: Final = "fastcore-event-id"
QUEUE_ID: Final = "fastcore-queue-id"
STAGE: Final = "fastcore-stage"
KIND: Final = "fastcore-kind"
FINAL: Final = "fastcore-final"
SPOOLED: Final = "fastcore-spooled"
CANARY: Final = "fastcore-canary"
"""The id of the canary that a lead is (`contracts.canary`)."""

ORIGINAL_TOPIC: Final = "kafka_dlt-original-topic"
ORIGINAL_PARTITION: Final = "kafka_dlt-original-partition"
ORIGINAL_OFFSET: Final = "kafka_dlt-original-offset"
ORIGINAL_TIMESTAMP: Final = "kafka_dlt-original-timestamp"
ORIGINAL_GROUP: Final = "kafka_dlt-original-consumer-group"
EXCEPTION_FQCN: Final = "kafka_dlt-exception-fqcn"
EXCEPTION_MESSAGE: Final = "kafka_dlt-exception-message"
RETRY_ATTEMPTS: Final = "retry_topic-attempts"
RETRY_ORIGINAL_TIMESTAMP: Final = "retry_topic-original-timestamp"
RETRY_BACKOFF_TIMESTAMP: Final = "retry_topic-backoff-timestamp"

PASSED_ON: Final = (CONTENT_TYPE, CORRELATION_ID, TRACEPARENT, SPOOLED)
"""The headers that a failed record keeps. Its other headers may be invalid, for example not UTF-8."""


def text(headers: Headers | tuple[tuple[str, bytes], ...], name: str) -> str | None:
    """Return the value of the last header `name` as text, or None if it is missing, null or not UTF-8."""
    for key, value in reversed(headers):
        if key == name:
            try:
                return value.decode()
            except (UnicodeDecodeError, AttributeError):  # a header may be null
                return None
    return None


def count(headers: Headers | tuple[tuple[str, bytes], ...], name: str) -> int:
    """Return the value of the last header `name`, or 0 if it is no integer from 0 to 999,999,999."""
    value = text(headers, name) or ""
    # Any client may have produced the record. Reject digits of other scripts, and numbers too large for the
    # database.
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else 0


def uuid(headers: Headers | tuple[tuple[str, bytes], ...], name: str) -> UUID | None:
    """Return the value of the last header `name` as a UUID, or None if it is no UUID."""
    try:
        return UUID(text(headers, name) or "")
    except ValueError:
        return None
