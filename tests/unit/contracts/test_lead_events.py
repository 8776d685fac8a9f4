"""The events that destinations receive: their JSON, and their ids."""

import json
from datetime import UTC, datetime
from uuid import UUID

from contracts.lead_events import ERASED, RECEIVED, LeadData, LeadEvent, event_id_for, example_event
from tests.support.factories import lead

LEAD_ID = UUID("018cce9d-7c43-7ab1-8c3d-9e0f1a2b3c07")
NOW = datetime(2026, 1, 3, 10, 30, 45, 125000, tzinfo=UTC)
# docs/destinations.md promises them: a field may be added, and none is renamed or removed.
FIELDS = {
    "id", "reference", "site", "site_name", "received_at", "status", "assignee", "name", "email", "phone",
    "company", "service", "message",
    "consent", "consent_text", "consent_version", "locale", "source", "extra",
}  # fmt: skip


def test_an_event_has_the_leads_fields_and_its_time() -> None:
    sent = lead(lead_id=LEAD_ID, occurred_at=NOW, site="shop", phone="+44 1", extra={"budget": 5},
                source={"utm_campaign": "spring", "own": "x"})  # fmt: skip
    event = json.loads(LeadEvent.received(sent, "Shop Nord").model_dump_json())
    assert set(event) == {"type", "timestamp", "data"}
    assert (event["type"], event["timestamp"]) == ("lead.received", "2026-01-03T10:30:45.125000Z")
    data = event["data"]
    assert set(data) == FIELDS
    assert (data["id"], data["reference"]) == (str(LEAD_ID), "1a2b3c07")
    assert (data["site"], data["site_name"], data["received_at"]) == ("shop", "Shop Nord", event["timestamp"])
    assert (data["name"], data["email"], data["phone"]) == (sent.name, sent.email, "+44 1")
    assert (data["service"], data["message"], data["extra"]) == (sent.service, sent.message, {"budget": 5})
    assert (data["source"]["utm_campaign"], data["source"]["own"]) == ("spring", "x")


def test_no_field_of_the_spam_check_or_the_request_is_sent() -> None:
    sent = lead(spam_reasons=("honeypot",), meta={"ip": "192.0.2.1", "user_agent": "Mozilla/5.0"})
    text = LeadEvent.received(sent, "Shop").model_dump_json()
    assert not [each for each in ("192.0.2.1", "Mozilla", "honeypot", sent.body_sha256) if each in text]


def test_an_event_that_occurs_once_has_the_same_id_each_time() -> None:
    assert event_id_for(LEAD_ID, RECEIVED) == event_id_for(LEAD_ID, RECEIVED)
    assert event_id_for(LEAD_ID, RECEIVED) == UUID("9188aea7-3ca2-5dd7-9c41-23ab0641ddfa")
    assert event_id_for(LEAD_ID, RECEIVED) != event_id_for(LEAD_ID, ERASED)
    assert event_id_for(LEAD_ID, RECEIVED) != event_id_for(UUID(int=1), RECEIVED)


def test_a_test_event_has_the_fields_of_a_lead() -> None:
    event = json.loads(example_event(LEAD_ID, NOW).model_dump_json())
    assert event["type"] == "lead.test"
    assert set(event["data"]) == FIELDS == set(LeadData.model_fields)
    assert event["data"]["email"].endswith("@example.com")
