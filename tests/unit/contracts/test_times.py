"""Times outside of the supported years are rejected or clamped."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from pydantic import ValidationError

from contracts.audit import AuditEvent, AuditRecorded
from contracts.failures import LeadFailed, Origin
from contracts.leads import LeadReceived
from tests.support.factories import lead

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
OUTSIDE = [
    FIRST,
    LAST,
    FIRST.replace(tzinfo=timezone(timedelta(hours=23))),
    datetime(1969, 12, 31, tzinfo=UTC),
]


def failed(origin_ms: int, at: datetime) -> LeadFailed:
    return LeadFailed(
        event_id=uuid4(),
        occurred_at=at,
        stage="persister",
        kind="store",
        final=False,
        reason="why",
        error="error",
        origin=Origin(topic="t", partition=0, offset=0, timestamp_ms=origin_ms, consumer_group="g"),
    )


@pytest.mark.parametrize("at", OUTSIDE)
@pytest.mark.parametrize("name", ["occurred_at", "submitted_at"])
def test_regression_time_that_postgres_reads_as_infinity_is_refused(name: str, at: datetime) -> None:
    with pytest.raises(ValidationError, match="between the years"):
        LeadReceived.model_validate({**lead().model_dump(), name: at})


@pytest.mark.parametrize("at", OUTSIDE)
@pytest.mark.parametrize("origin_ms", [-1, -(2**62), 2**62, -62_135_596_800_000, 253_402_300_799_999])
def test_regression_failure_with_any_time_is_clamped(origin_ms: int, at: datetime) -> None:
    original = failed(origin_ms, at)
    read = LeadFailed.from_headers(original.to_headers())
    assert read == original
    assert 1970 <= read.occurred_at.year < 2200
    assert 0 <= read.origin.timestamp_ms <= datetime(2200, 1, 1, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize("at", OUTSIDE)
def test_audit_entry_with_any_time_is_clamped(at: datetime) -> None:
    entry = AuditRecorded(event_id=uuid4(), occurred_at=at, event=AuditEvent.LEAD_REJECTED, actor="x")
    assert 1970 <= entry.occurred_at.year < 2200
