"""Names of the Kafka headers we read and write, and nothing else.

Retry and dead-letter names are Spring Kafka's, so that tools which know them can read ours; the
values are UTF-8 decimal text, not Spring's binary (a binary header breaks FastStream's parser).
"""

from typing import Final

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
"""What a failed record keeps of its own headers; the rest may be anything, even not UTF-8."""


def text(headers: Headers | tuple[tuple[str, bytes], ...], name: str) -> str | None:
    """Return the last value of a header as text, None where it is absent, null or not UTF-8."""
    for key, value in reversed(headers):
        if key == name:
            try:
                return value.decode()
            except (UnicodeDecodeError, AttributeError):  # a header may be null
                return None
    return None


def count(headers: Headers | tuple[tuple[str, bytes], ...], name: str) -> int:
    """Return the last value of a header as a small count, 0 for what we would not have written."""
    value = text(headers, name) or ""
    # Anyone may have produced the record: no digits of other scripts, none beyond an integer column.
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else 0
