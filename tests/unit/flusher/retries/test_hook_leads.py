"""A form builder's lead is published only if its correction is valid."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from contracts import topics
from contracts.leads import LeadReceived
from runtime.failures import PermanentError, RetryableError
from services.flusher.retries.hook_leads import corrected_lead
from services.flusher.retries.retry_rules import Row

BODY = {"name": "Siobhán", "email": "siobhan(at)example.org", "message": "Hello", "Budget": "900"}


def row(payload: bytes | None) -> Row:
    fields: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__)
    fields |= {
        "id": uuid4(),
        "stage": "site",
        "lead_id": uuid4(),
        "origin_topic": "hook:studio",
        "origin_timestamp": datetime(2026, 11, 29, tzinfo=UTC),
        "payload": payload,
        "headers": {},
    }
    return Row(**fields)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (json.dumps(BODY).encode(), "gateway 422: email"),
        (b'{"email": "ada@example.com"}', "gateway 422: message"),
        (b"[]", "gateway 422: body"),
        (b"{", "gateway 422"),
    ],
)
def test_lead_that_is_still_invalid_is_refused_with_its_fields(payload: bytes, reason: str) -> None:
    with pytest.raises(RetryableError) as refused:
        corrected_lead(row(payload))
    assert refused.value.reason == reason
    assert "(at)" not in refused.value.reason


def test_corrected_lead_is_received_with_the_time_and_id_of_its_row() -> None:
    failed = row(json.dumps(BODY | {"email": "siobhan@example.org"}).encode())
    record = corrected_lead(failed)
    assert record.topic == topics.RECEIVED.name
    lead = LeadReceived.model_validate_json(record.value or b"")
    assert (lead.lead_id, lead.site, lead.email) == (failed.lead_id, "studio", "siobhan@example.org")
    assert (lead.occurred_at, lead.extra) == (failed.origin_timestamp, {"Budget": "900"})


def test_row_without_a_payload_cannot_be_sent() -> None:
    with pytest.raises(PermanentError):
        corrected_lead(row(None))
