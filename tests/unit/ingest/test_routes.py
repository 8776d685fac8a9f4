"""`POST /inbound/leads`: accepted leads, failures, correlation ids and audit entries."""

from uuid import UUID

import pytest
from dirty_equals import IsUUID

from contracts import headers as h
from contracts.audit import AuditEvent
from contracts.leads import EXAMPLE, lead_id_for
from tests.support.services.gateway import TOKEN, Gateway, expect_problem, submission


async def test_201_contains_lead_id_timestamp_and_status(gateway: Gateway) -> None:
    answer = await gateway.post()
    assert answer.status_code == 201
    assert answer.json() == {
        "leadId": IsUUID(),
        "timestamp": "2024-01-03T10:30:45.123456Z",
        "status": "received",
    }
    assert answer.content.endswith(b"}\n")  # the shell's prompt after curl begins on a line of its own
    (lead,) = gateway.leads.leads
    assert (str(lead.lead_id), lead.occurred_at) == (answer.json()["leadId"], gateway.now)


async def test_timestamp_has_microseconds_even_if_zero(gateway: Gateway) -> None:
    gateway.now = gateway.now.replace(microsecond=0)
    assert (await gateway.post()).json()["timestamp"] == "2024-01-03T10:30:45.000000Z"


async def test_documented_example_is_accepted_completely(gateway: Gateway) -> None:
    answer = await gateway.post(EXAMPLE)
    assert answer.status_code == 201
    (lead,) = gateway.leads.leads
    assert lead.spam_reasons == ()
    assert lead.extra == {"budget": "10,000"}
    assert lead.source is not None
    assert lead.source.model_dump() == EXAMPLE["source"]
    assert lead.request_id == EXAMPLE["request_id"]
    assert lead.lead_id == lead_id_for("www", str(EXAMPLE["request_id"]))


async def test_regression_lead_with_a_4_kib_captcha_token_is_accepted(gateway: Gateway) -> None:
    token = "P1_" + "e" * 4200
    answer = await gateway.post(submission(**{"h-captcha-response": token}))
    assert answer.status_code == 201, answer.text
    assert gateway.leads.leads[0].extra == {"h-captcha-response": token}


async def test_ip_address_and_user_agent_are_not_published(gateway: Gateway) -> None:
    await gateway.post(submission(meta={"ip": "192.0.2.77", "user_agent": "Secret/1", "consent_text": "Yes"}))
    (record,) = gateway.leads.records
    assert b"192.0.2.77" not in record.value
    assert b"Secret/1" not in record.value
    assert gateway.leads.leads[0].consent_text == "Yes"


async def test_spam_gets_the_same_response_as_any_lead(gateway: Gateway) -> None:
    answer = await gateway.post(submission(meta={"honeypot": "x" * 5000, "fill_seconds": 0.1}))
    assert answer.status_code == 201
    assert answer.json()["status"] == "received"
    assert gateway.leads.leads[0].spam_reasons == ("honeypot", "filled_too_fast")


async def test_unacknowledged_lead_gets_a_503_with_retry_after(gateway: Gateway) -> None:
    gateway.leads.make_kafka_unavailable()
    answer = await gateway.post()
    expect_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


async def test_unexpected_error_gets_a_500_without_details(gateway: Gateway) -> None:
    gateway.leads.error = RuntimeError("secret of the inside")
    answer = await gateway.post()
    expect_problem(answer, 500)
    assert "secret" not in answer.text
    assert answer.headers["X-Request-ID"]


async def test_request_id_is_in_the_response_and_the_record(gateway: Gateway) -> None:
    answer = await gateway.post(X_Request_ID="site-42")
    assert answer.headers["X-Request-ID"] == "site-42"
    assert (h.CORRELATION_ID, b"site-42") in gateway.leads.records[0].headers


@pytest.mark.parametrize("given", ["bob@example.com", "a b", "x" * 129, "\xe9", ""])
async def test_invalid_request_id_is_replaced(gateway: Gateway, given: str) -> None:
    answer = await gateway.client.post(
        "/inbound/leads",
        json=submission(),
        headers=[(b"Authorization", f"Bearer {TOKEN}".encode()), (b"X-Request-ID", given.encode("latin-1"))],
    )
    assert answer.status_code == 201
    assert gateway.leads.leads[0].lead_id != UUID(answer.headers["X-Request-ID"])


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("bob@example.com", False),
    ],
)
async def test_only_a_valid_traceparent_is_published(gateway: Gateway, given: str, passed: bool) -> None:
    await gateway.post(traceparent=given)
    assert ((h.TRACEPARENT, given.encode()) in gateway.leads.records[0].headers) is passed


async def test_rejected_request_gets_an_audit_entry_without_personal_data(gateway: Gateway) -> None:
    await gateway.post(submission(email="bob-at-home", **{"bob@example.com": "1"}), X_Request_ID="r1")
    (entry,) = gateway.audit.entries
    assert entry.event == AuditEvent.LEAD_REJECTED
    assert (entry.actor, entry.status_code, entry.request_id) == ("www", 422, "r1")
    assert entry.details == {"code": "invalid-lead", "fields": ["email"]}
    assert "bob" not in entry.model_dump_json()


async def test_accepted_lead_gets_no_audit_entry(gateway: Gateway) -> None:
    await gateway.post()
    assert gateway.audit.entries == []
