"""The Kafka topics, with the producers, consumers, retention and limits of each topic.

`deploy/cli/topics.py` creates the topics from this list, and the AsyncAPI document is generated from it.
"""

from dataclasses import dataclass
from typing import Final, Literal

Service = Literal["ingest", "persister", "notifier", "webhooks", "flusher", "admin"]

PARTITIONS: Final = 6
DAY_MS: Final = 24 * 60 * 60 * 1000
# A gateway body is at most 256 KiB. A failed record may be anything that a client produced to
# leads.received.v1 (1 MiB, Kafka's default), and must still fit with our headers.
RECEIVED_MAX_BYTES: Final = 1_048_588
FAILED_MAX_BYTES: Final = 2 * RECEIVED_MAX_BYTES


@dataclass(frozen=True)
class Topic:
    """One Kafka topic. `key` says what the key of a record is, such as the lead id.

    Times are in milliseconds, sizes in bytes.
    """

    name: str
    producers: tuple[Service, ...]
    consumers: tuple[Service, ...]
    key: str = "lead_id"
    partitions: int = PARTITIONS
    retention_ms: int = 7 * DAY_MS
    cleanup: Literal["delete"] = "delete"
    max_message_bytes: int = RECEIVED_MAX_BYTES

    def config(self) -> dict[str, str]:
        """Return the topic's configuration on the broker, such as `retention.ms`, as text."""
        return {
            "cleanup.policy": self.cleanup,
            "compression.type": "producer",
            "retention.ms": str(self.retention_ms),
            # The broker's clock. With a producer's clock that is an hour fast, Kafka 4 refuses the record;
            # with one that is a week slow, the record exceeds its retention at once.
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_message_bytes),
        }


RECEIVED: Final = Topic("leads.received.v1", ("ingest", "flusher"), ("persister", "notifier", "webhooks"))
CHANGED: Final = Topic("leads.changed.v1", ("flusher",), ("webhooks",))
FAILED: Final = Topic(
    "leads.failed.v1",
    ("ingest", "persister", "notifier", "webhooks", "flusher"),
    ("flusher",),
    max_message_bytes=FAILED_MAX_BYTES,
)
RETRY_PERSISTER: Final = Topic(
    "leads.retry.persister.v1", ("flusher",), ("persister",), max_message_bytes=FAILED_MAX_BYTES
)
RETRY_NOTIFIER: Final = Topic(
    "leads.retry.notifier.v1", ("flusher",), ("notifier",), max_message_bytes=FAILED_MAX_BYTES
)
RETRY_WEBHOOKS: Final = Topic(
    "leads.retry.webhooks.v1", ("flusher",), ("webhooks",), max_message_bytes=FAILED_MAX_BYTES
)
DEAD: Final = Topic(
    "leads.dead.v1",
    ("flusher",),
    (),
    retention_ms=30 * DAY_MS,
    max_message_bytes=FAILED_MAX_BYTES,
)
AUDIT: Final = Topic("audit.recorded.v1", ("ingest", "flusher"), ("persister",), key="request_id")
MAIL_EVENTS: Final = Topic("mail.events.v1", ("ingest", "flusher"), ("flusher",))


def is_audit(name: str) -> bool:
    """Return True if the topic carries audit records.

    `name` may have a topic prefix (`KAFKA_TOPIC_PREFIX`), so only the end of the name is compared.
    """
    return name.endswith(AUDIT.name)


def is_mail_event(name: str) -> bool:
    """Return True if the topic carries mail events. `name` may have a topic prefix."""
    return name.endswith(MAIL_EVENTS.name)


ALL: Final = (
    RECEIVED,
    CHANGED,
    FAILED,
    RETRY_PERSISTER,
    RETRY_NOTIFIER,
    RETRY_WEBHOOKS,
    DEAD,
    AUDIT,
    MAIL_EVENTS,
)
RETRY: Final = {"persister": RETRY_PERSISTER, "notifier": RETRY_NOTIFIER, "webhooks": RETRY_WEBHOOKS}
GROUPS: Final = {
    "persister": "fastcore.persister",
    "notifier": "fastcore.notifier",
    "webhooks": "fastcore.webhooks",
    "flusher": "fastcore.flusher",
}


def consumed_by(service: Service) -> tuple[str, ...]:
    """Return the names of the topics that a service reads."""
    return tuple(topic.name for topic in ALL if service in topic.consumers)
