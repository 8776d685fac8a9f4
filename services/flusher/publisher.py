"""The flusher's one adapter to Kafka: retries to their stage, the dead to the archive."""

from datetime import UTC, datetime
from typing import Any

from contracts import topics
from contracts.failures import LeadDead, LeadFailed, Origin
from contracts.headers import Headers
from runtime import metrics
from runtime.kafka import Publisher
from services.flusher.intake import Failed
from services.flusher.replay import under_new_id

SEND_SECONDS = 10.0


class ReplayPublisher:
    """Publishes and waits for the acknowledgement. Raises `WorldAway`."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def archive(self, failed: Failed) -> None:
        """Put a dead lead on `leads.dead.v1`: its original bytes, its first origin, the last reason."""
        dead = LeadDead.model_validate(failed.failure.model_dump())
        await self._publisher.send(
            topics.DEAD.name,
            key=failed.record.key,
            value=failed.record.value,
            headers=dead.to_headers(failed.record.headers),
            seconds=SEND_SECONDS,
        )
        metrics.LEADS_DEAD.labels(stage=dead.stage, kind=dead.kind).inc()

    async def replay(self, row: dict[str, Any]) -> None:
        """Send one row to the stage that failed; what has no stage's row goes in by the front door."""
        key, value, topic = row["record_key"], row["payload"], topics.RECEIVED
        if not row["by_origin"]:
            topic = topics.RETRY[row["stage"]]
        elif row["reason"] == "conflict":
            lead_id, value = under_new_id(value, row["id"])
            key = str(lead_id).encode()
        origin_at: datetime = row["origin_timestamp"]
        failure = LeadFailed(
            event_id=row["id"],
            occurred_at=row["sent_at"].astimezone(UTC),
            stage=row["stage"],
            kind=row["kind"],
            final=False,
            reason=row["reason"],
            error=row["error"],
            origin=Origin(
                topic=row["origin_topic"],
                partition=row["origin_partition"],
                offset=row["origin_offset"],
                timestamp_ms=round(origin_at.timestamp() * 1000),
                consumer_group=row["origin_group"],
            ),
            queue_id=row["id"],
            attempts=row["attempts"],
        )
        kept: Headers = [(name, text.encode()) for name, text in row["headers"].items()]
        await self._publisher.send(
            topic.name, key=key, value=value, headers=failure.to_headers(kept), seconds=SEND_SECONDS
        )
        metrics.REPLAYS_SENT.labels(stage=row["stage"], kind=row["kind"]).inc()
