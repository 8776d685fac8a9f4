"""Leads as the services exchange them."""

from datetime import UTC, datetime
from uuid import uuid4

from contracts.leads import as_received, field_name


def test_field_of_an_error_never_names_what_a_visitor_wrote() -> None:
    assert field_name(("email",)) == "email"
    assert field_name(("source", "page_url")) == "source.page_url"
    assert field_name(("Ada's secret question", 3)) == "extra"
    assert field_name(()) == "body"


def test_as_received_returns_the_event_of_a_stored_lead() -> None:
    lead_id, event_id, at = uuid4(), uuid4(), datetime(2024, 1, 3, tzinfo=UTC)
    row = {
        "id": lead_id,
        "request_id": "r",
        "site": "default",
        "body_sha256": "0" * 64,
        "name": "Ada",
        "email": "ada@example.com",
        "service": "SEO",
        "message": "Hello",
        "source": {"utm_source": "x"},
        "extra": {"budget": 7},
        "spam_reasons": ["honeypot"],
        "created_at_utc": at,
        "status": "spam",
        "notes": "not a field of the event",
    }
    received = as_received(row, event_id)
    assert (received.lead_id, received.event_id, received.occurred_at) == (lead_id, event_id, at)
    assert (received.extra, received.spam_reasons) == ({"budget": 7}, ("honeypot",))
    assert "notes" not in received.model_dump()
