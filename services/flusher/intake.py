"""What a record of `leads.failed.v1` says. Pure: no I/O, no clock."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts import headers
from contracts.failures import LeadFailed, Origin, failure_event_id

Record = Any  # aiokafka's ConsumerRecord, whose package is untyped


@dataclass(frozen=True)
class Failed:
    """One failure and its record. `by_origin`: a conflict, or what could not be decoded."""

    record: Record
    failure: LeadFailed
    lead_id: UUID | None
    by_origin: bool

    def place(self) -> dict[str, Any]:
        """Return what names its row: the lead's trouble in a stage, or the origin."""
        origin = self.failure.origin
        return {
            "stage": self.failure.stage,
            "kind": self.failure.kind,
            "lead_id": self.lead_id,
            "by_origin": self.by_origin,
            "origin_topic": origin.topic,
            "origin_partition": origin.partition,
            "origin_offset": origin.offset,
        }

    def kept_headers(self) -> dict[str, str]:
        """Return what the record keeps of its own headers over a replay."""
        found = {name: headers.text(self.record.headers, name) for name in headers.PASSED_ON}
        return {name: value.replace("\x00", "") for name, value in found.items() if value}


def read(record: Record, group: str) -> Failed:
    """Read a failure; one that says nothing we understand is kept under its own place, as final."""
    try:
        failure = LeadFailed.from_headers(record.headers)
    except ValueError:
        failure = LeadFailed(
            event_id=failure_event_id(record.topic, record.partition, record.offset, "persister", "store"),
            occurred_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
            stage="persister",
            kind="store",
            final=True,
            reason="undecodable failure",
            error="flusher.intake",
            origin=Origin(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                timestamp_ms=record.timestamp,
                consumer_group=group,
            ),
        )
    lead_id = _lead_id(record.key)
    # Only the persister calls a record final for what it is: undecodable, or a second body.
    by_origin = lead_id is None or (failure.stage == "persister" and failure.final)
    return Failed(record, failure, lead_id, by_origin)


def _lead_id(key: bytes | None) -> UUID | None:
    try:
        return UUID((key or b"").decode())
    except ValueError:
        return None
