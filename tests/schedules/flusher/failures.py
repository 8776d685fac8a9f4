"""The failures that a schedule publishes: those of all stages, in each form that the flusher knows."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from contracts import topics
from contracts.failures import AUDIT_KIND, Kind, LeadFailed, Origin, Stage, failure_event_id
from contracts.reasons import Reason

if TYPE_CHECKING:
    from tests.schedules.records import Records

Made = tuple[str, bytes, bytes | None, list[tuple[str, bytes]]]
SHAPES: Final = (
    *("failure",) * 10,
    *("failure_again",) * 3,
    "final_failure",
    "conflicting",
    "undecodable",
    "failed_audit",
    "no_failure",
    "empty_failure",
)
_AT: Final = datetime(2026, 11, 30, tzinfo=UTC)
_EFFECTS: Final = (("persister", "store"), ("notifier", "welcome"), ("webhooks", "event"))


def make_failure(records: "Records", shape: str) -> Made:
    """Return a failed record: its topic, key, value and headers."""
    known = records.failures
    if shape == "failure_again" and known:
        again: Made = records.rng.choice(known)
        return again
    if shape == "no_failure":
        return topics.FAILED.name, b"garbage", records.rng.randbytes(8), []
    stage, kind = records.rng.choice(_EFFECTS)
    reason, final, topic = "database answered P0001", shape == "final_failure", topics.RECEIVED.name
    _, key, value, __ = records.make("lead")
    if shape in ("conflicting", "undecodable"):
        stage, kind = "persister", "store"
        reason, final = (Reason.CONFLICT, False) if shape == "conflicting" else (Reason.UNDECODABLE, True)
        key, value = (key, value) if shape == "conflicting" else (b"poison", b"{")
    elif shape == "failed_audit":
        stage, kind, topic, key = "persister", AUDIT_KIND, topics.AUDIT.name, b"request"
    elif shape == "empty_failure":
        value = None
    origin = Origin(
        topic=topic,
        partition=0,
        offset=len(known),
        timestamp_ms=int(_AT.timestamp() * 1000) + len(known),
        consumer_group=f"fastcore.{stage}",
    )
    failure = LeadFailed(
        event_id=failure_event_id(origin, cast("Stage", stage), cast("Kind", kind)),
        occurred_at=_AT,
        stage=cast("Stage", stage),
        kind=cast("Kind", kind),
        final=final,
        reason=reason,
        error="runtime.failures.RetryableError",
        origin=origin,
    )
    made = topics.FAILED.name, key, value, failure.to_headers()
    known.append(made)
    return made


def read_failure(record: Any) -> LeadFailed | None:
    """Return the failure that a record's headers describe, or None."""
    try:
        return LeadFailed.from_headers(list(record.headers))
    except ValueError:
        return None


def lead_id_of(key: bytes | None) -> UUID | None:
    """Return the lead id in a record's key, or None."""
    try:
        return UUID((key or b"").decode())
    except ValueError:
        return None
