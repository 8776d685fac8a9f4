"""`POST /inbound/leads`: accepted leads, failures, correlation ids and audit entries."""

from uuid import UUID

import pytest
from dirty_equals import IsUUID

from contracts import headers as h
from contracts.audit import AuditEvent
from contracts.leads import EXAMPLE, lead_id_for
from tests.support.gateway import TOKEN, Gateway, expect_problem, submission


async def test_a_lead_gets_exactly_its_id_the_time_and_received(ours: Gateway) -> None:
    answer = await ours.post()
    assert answer.status_code == 201
    assert answer.json() == {
        "leadId": IsUUID(),
        "timestamp": "2024-01-03T10:30:45.123456Z",
        "status": "received",
    }
    (lead,) = ours.leads.leads
    assert (str(lead.lead_id), lead.occurred_at) == (answer.json()["leadId"], ours.now)


async def test_the_time_has_microseconds_also_where_they_are_zero(ours: Gateway) -> None:
    ours.now = ours.now.replace(microsecond=0)
    assert (await ours.post()).json()["timestamp"] == "2024-01-03T10:30:45.000000Z"


async def test_the_documented_example_is_accepted_whole(ours: Gateway) -> None:
    answer = await ours.post(EXAMPLE)
    assert answer.status_code == 201
    (lead,) = ours.leads.leads
    assert lead.spam_reasons == ()
    assert lead.extra == {"budget": "10,000"}
    assert lead.source is not None
    assert lead.source.model_dump() == EXAMPLE["source"]
    assert lead.request_id == EXAMPLE["request_id"]
    assert lead.lead_id == lead_id_for("www", str(EXAMPLE["request_id"]))


async def test_regression_a_captcha_token_of_4_kib_does_not_cost_the_lead(ours: Gateway) -> None:
    token = "P1_" + "e" * 4200
    answer = await ours.post(submission(**{"h-captcha-response": token}))
    assert answer.status_code == 201, answer.text
    assert ours.leads.leads[0].extra == {"h-captcha-response": token}


async def test_the_visitors_address_and_browser_are_not_published(ours: Gateway) -> None:
    await ours.post(submission(meta={"ip": "192.0.2.77", "user_agent": "Secret/1", "consent_text": "Yes"}))
    (record,) = ours.leads.records
    assert b"192.0.2.77" not in record.value
    assert b"Secret/1" not in record.value
    assert ours.leads.leads[0].consent_text == "Yes"


async def test_spam_gets_the_same_answer_as_any_lead(ours: Gateway) -> None:
    answer = await ours.post(submission(meta={"honeypot": "x" * 5000, "form_rendered_at": "\x00garbage"}))
    assert answer.status_code == 201
    assert answer.json()["status"] == "received"
    assert ours.leads.leads[0].spam_reasons == ("honeypot", "form_time_implausible")


async def test_without_an_acknowledgement_the_answer_is_503_with_retry_after(ours: Gateway) -> None:
    ours.leads.make_kafka_unavailable()
    answer = await ours.post()
    expect_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_bug_is_a_problem_too_and_shows_nothing_of_itself(ours: Gateway) -> None:
    ours.leads.error = RuntimeError("secret of the inside")
    answer = await ours.post()
    expect_problem(answer, 500)
    assert "secret" not in answer.text
    assert answer.headers["X-Request-ID"]


async def test_the_request_id_is_echoed_and_travels_with_the_record(ours: Gateway) -> None:
    answer = await ours.post(X_Request_ID="site-42")
    assert answer.headers["X-Request-ID"] == "site-42"
    assert (h.CORRELATION_ID, b"site-42") in ours.leads.records[0].headers


@pytest.mark.parametrize("given", ["bob@example.com", "a b", "x" * 129, "\xe9", ""])
async def test_an_unfit_request_id_is_replaced(ours: Gateway, given: str) -> None:
    answer = await ours.client.post(
        "/inbound/leads",
        json=submission(),
        headers=[(b"Authorization", f"Bearer {TOKEN}".encode()), (b"X-Request-ID", given.encode("latin-1"))],
    )
    assert answer.status_code == 201
    assert ours.leads.leads[0].lead_id != UUID(answer.headers["X-Request-ID"])


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
async def test_only_a_valid_trace_context_is_passed_on(ours: Gateway, given: str, passed: bool) -> None:
    await ours.post(traceparent=given)
    assert ((h.TRACEPARENT, given.encode()) in ours.leads.records[0].headers) is passed


async def test_a_refused_request_leaves_an_entry_without_personal_data(ours: Gateway) -> None:
    await ours.post(submission(email="bob-at-home", **{"bob@example.com": "\0"}), X_Request_ID="r1")
    (entry,) = ours.audit.entries
    assert entry.event == AuditEvent.LEAD_REJECTED
    assert (entry.actor, entry.status_code, entry.request_id) == ("www", 422, "r1")
    assert entry.details == {"code": "invalid-lead", "fields": ["email", "extra"]}
    assert "bob" not in entry.model_dump_json()


async def test_an_accepted_lead_leaves_no_entry_here(ours: Gateway) -> None:
    await ours.post()
    assert ours.audit.entries == []
