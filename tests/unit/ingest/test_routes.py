"""What the gateway answers, to good leads and to everything else."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from dirty_equals import IsPartialDict, IsUUID

from contracts import headers as h
from contracts.audit import AuditEvent
from contracts.leads import EXAMPLE, lead_id_for
from runtime import metrics
from runtime.settings import Debug, Http
from services.ingest import problems
from tests.support.gateway import TOKEN, Gateway, gateway, submission


@pytest.fixture
async def ours() -> AsyncIterator[Gateway]:
    async with gateway() as made:
        yield made


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The answer is RFC 9457 with this status; returns its members."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem.keys() >= {"type", "title", "detail"}
    return problem


def raw(tail: str) -> str:
    """A good body with more JSON text put in."""
    return json.dumps(submission())[:-1] + tail + "}"


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


# --- who may post --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer t\xf6ken",
        "Bearer \u20ac",
    ],
)
async def test_without_a_valid_token_the_answer_is_401(ours: Gateway, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    answer = await ours.client.post("/inbound/leads", json=submission(), headers=headers)
    is_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert not ours.leads.records


async def test_regression_a_stranger_is_counted_and_not_listed_in_the_audit_log(ours: Gateway) -> None:
    counter = metrics.REQUESTS_REJECTED.labels(code=problems.UNAUTHORIZED.code)._value
    before = counter.get()
    for _ in range(5):
        headers = {"Authorization": "Bearer x"}
        answer = await ours.client.post("/inbound/leads", json=submission(), headers=headers)
        assert answer.status_code == 401
    assert counter.get() == before + 5
    assert ours.trail.entries == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_any_of_the_tokens_is_taken_and_names_its_site(scheme: str) -> None:
    tokens = "www:first-token-0123456789abcdef, shop:second-token-0123456789abc,third-token-0123456789abcd"
    async with gateway(site_tokens=tokens) as ours:
        for token in (
            "first-token-0123456789abcdef",
            "second-token-0123456789abc",
            "third-token-0123456789abcd",
        ):
            answer = await ours.client.post(
                "/inbound/leads", json=submission(), headers={"Authorization": f"{scheme} {token}"}
            )
            assert answer.status_code == 201
        assert [lead.site for lead in ours.leads.leads] == ["www", "shop", "default"]


# --- bad input -----------------------------------------------------------------------------------

NOT_JSON = {
    "nothing": "",
    "blank": "   ",
    "text": "hello secret",
    "half an object": '{"name": "secret',
    "two objects": '{"name": "secret"} {}',
    "a trailing comma": '{"name": "secret",}',
    "single quotes": "{'name': 'secret'}",
    "a lone surrogate": '{"name": "secret \\ud800"}',
    "a lone low surrogate": raw(', "more": {"secret": ["\\udc00"]}'),
    "an encoded surrogate": b'{"name": "secret \xed\xa0\x80"}',
    "latin-1": '{"name": "secret \xe9"}'.encode("latin-1"),
    "utf-16": '{"name": "secret"}'.encode("utf-16"),
    "a raw control character": '{"name": "secret \x00"}',
    "nesting 10,000 deep": raw(f', "secret": {"[" * 10_000}{"]" * 10_000}'),
    "objects 8,000 deep": raw(', "secret": ' + '{"a":' * 8_000 + "1" + "}" * 8_000),
    "an open nesting 30,000 deep": '{"secret":' + "[" * 30_000,
    "a number too long": raw(f', "secret": {"9" * 6000}'),
    "a wrong number": raw(', "secret": 01'),
    "NaN": raw(', "secret": NaN'),
    "NaN deep down": raw(', "secret": [{"a": NaN}]'),
    "NaN where nothing is kept": raw(', "meta": {"ip": NaN}'),
    "NaN for a flag": raw(', "consent": NaN'),
    "negative infinity": raw(', "secret": -Infinity'),
}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_not_json_is_refused_quickly_and_not_echoed(
    ours: Gateway, content: str | bytes
) -> None:
    begun = time.perf_counter()
    answer = await ours.post_raw(content)
    assert time.perf_counter() - begun < 1
    is_problem(answer, 400)
    assert "secret" not in answer.text
    assert (await ours.post()).status_code == 201


INVALID: dict[str, tuple[str, set[str]]] = {
    "a list": ("[]", {"body"}),
    "a text": ('"secret"', {"body"}),
    "a number": ("1", {"body"}),
    "null": ("null", {"body"}),
    "nothing in it": ("{}", {"name", "email", "service", "message"}),
    "wrong types": (
        json.dumps({"name": 1, "email": ["secret"], "service": {}, "message": None, "consent": "secret"}),
        {"name", "email", "service", "message", "consent"},
    ),
    "nothing but blanks": (json.dumps(submission(name="  ", message="\n\t")), {"name", "message"}),
    "nothing but control characters": (json.dumps(submission(name="\x01\x02")), {"name"}),
    "too long": (
        json.dumps(submission(name="x" * 201, company="x" * 201, service="x" * 201, message="x" * 10_001)),
        {"name", "company", "service", "message"},
    ),
    "no address": (json.dumps(submission(email="secret at example.com")), {"email"}),
    "NUL in a name": (json.dumps(submission(name="secret\x00")), {"name"}),
    "NUL in a message": (json.dumps(submission(message="secret\x00")), {"message"}),
    "NUL in an address": (json.dumps(submission(email="secret\x00@example.com")), {"email"}),
    "NUL in a source": (json.dumps(submission(source={"page_url": "\x00"})), {"source.page_url"}),
    "NUL in a consent": (json.dumps(submission(meta={"consent_text": "\x00"})), {"meta.consent_text"}),
    "NUL in an unknown field": (json.dumps(submission(secret="\x00")), {"extra"}),
    "NUL deep in an unknown field": (json.dumps(submission(secret=[{"a": ["\x00"]}])), {"extra"}),
    "NUL in an unknown name": (json.dumps(submission(**{"secret\x00": 1})), {"extra"}),
    "NUL in a name deep down": (json.dumps(submission(secret={"a": {"\x00": 1}})), {"extra"}),
    "an infinite number": (raw(', "secret": 1e999'), {"extra"}),
    "an integer beyond a double": (raw(f', "secret": {"9" * 400}'), {"extra"}),
    "nesting 17 deep": (raw(f', "secret": {"[" * 17}{"]" * 17}'), {"extra"}),
    "a time without a zone": (json.dumps(submission(submitted_at="2024-01-03T10:30:45")), {"submitted_at"}),
    "a time that is none": (json.dumps(submission(submitted_at="secret")), {"submitted_at"}),
    "a time at the end of days": (
        json.dumps(submission(submitted_at="9999-12-31T23:59:59-14:00")),
        {"submitted_at"},
    ),
    "a request_id with a line break": (json.dumps(submission(request_id="a\nb")), {"request_id"}),
    "an empty request_id": (json.dumps(submission(request_id="")), {"request_id"}),
    "a long request_id": (json.dumps(submission(request_id="x" * 256)), {"request_id"}),
    "a numeric request_id": (json.dumps(submission(request_id=7)), {"request_id"}),
    "source is a text": (json.dumps(submission(source="secret")), {"source"}),
    "meta is a list": (json.dumps(submission(meta=[])), {"meta"}),
}


@pytest.mark.parametrize(("content", "fields"), INVALID.values(), ids=INVALID)
async def test_every_wrong_field_is_named_and_no_input_is_echoed(
    ours: Gateway, content: str, fields: set[str]
) -> None:
    answer = await ours.post_raw(content)
    problem = is_problem(answer, 422)
    assert {error["field"] for error in problem["errors"]} == fields
    assert all(error["message"] and "Input" not in error["message"] for error in problem["errors"])
    assert "secret" not in answer.text
    assert "\\u0000" not in answer.text
    assert not ours.leads.records
    assert (await ours.post()).status_code == 201


async def test_wrong_body_and_wrong_key_are_named_together(ours: Gateway) -> None:
    problem = is_problem(await ours.post({}, Idempotency_Key="x" * 256), 422)
    assert {error["field"] for error in problem["errors"]} >= {"Idempotency-Key", "name", "email"}


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "schl\xfcssel"])
async def test_a_wrong_idempotency_key_is_refused(ours: Gateway, key: str) -> None:
    answer = await ours.client.post(
        "/inbound/leads",
        json=submission(),
        headers=[(b"Authorization", f"Bearer {TOKEN}".encode()), (b"Idempotency-Key", key.encode("latin-1"))],
    )
    assert is_problem(answer, 422)["errors"] == [
        {"field": "Idempotency-Key", "message": "must be 1 to 255 printable ASCII characters"}
    ]


@pytest.mark.parametrize("size", [256 * 1024 + 1, 300 * 1024, 1024 * 1024])
async def test_more_than_256_kib_is_refused_whether_declared_or_not(ours: Gateway, size: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        for _ in range(size // 1024):
            yield b" " * 1024

    is_problem(await ours.post_raw(b"{" + b" " * (size - 1)), 413)
    is_problem(await ours.post_raw(chunks()), 413)
    is_problem(await ours.post_raw(b"{}", {"Content-Length": "9" * 5000}), 413)


async def test_exactly_256_kib_is_read(ours: Gateway) -> None:
    body = json.dumps(submission())
    answer = await ours.post_raw(body[:-1] + " " * (256 * 1024 - len(body)) + "}")
    assert answer.status_code == 201


async def test_a_body_that_stops_arriving_is_408_and_its_connection_closed() -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b'{"name": '
        await asyncio.sleep(30)

    async with gateway(body_deadline_seconds=0.05) as ours:
        answer = await ours.post_raw(stalls())
        is_problem(answer, 408)
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/ld+json",
        "application/vnd.site.lead+json;v=2",
        "application/x-www-form-urlencoded",
        "",
    ],
)
async def test_json_is_taken_by_its_names_and_by_what_curl_says_unasked(
    ours: Gateway, media_type: str
) -> None:
    answer = await ours.post_raw(json.dumps(submission()), {"Content-Type": media_type})
    assert answer.status_code == 201, answer.text


async def test_json_without_a_content_type_is_taken(ours: Gateway) -> None:
    assert (await ours.post_raw(json.dumps(submission()), {})).status_code == 201


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/plain", "{}"),
        ("multipart/form-data; boundary=x", "--x"),
        ("application/x-www-form-urlencoded", "name=Ada"),
        ("application/xml", "<a/>"),
        ("application/jsonp", "{}"),
    ],
)
async def test_other_media_types_are_415(ours: Gateway, media_type: str, body: str) -> None:
    is_problem(await ours.post_raw(body, {"Content-Type": media_type}), 415)


async def test_an_encoded_body_is_415_and_says_what_is_taken(ours: Gateway) -> None:
    answer = await ours.post_raw(b"\x1f\x8b", {"Content-Encoding": "gzip"})
    is_problem(answer, 415)
    assert answer.headers["Accept-Encoding"] == "identity"


async def test_a_byte_order_mark_and_blanks_before_the_object_do_no_harm(ours: Gateway) -> None:
    body = b"\xef\xbb\xbf \r\n" + json.dumps(submission()).encode()
    assert (await ours.post_raw(body)).status_code == 201
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await ours.post_raw(body, form)).status_code == 201


async def test_a_lead_may_speak_of_nan_and_infinity(ours: Gateway) -> None:
    assert (await ours.post(submission(name="NaN", message="Infinity"))).status_code == 201


async def test_of_a_key_given_twice_the_last_counts(ours: Gateway) -> None:
    assert (await ours.post_raw(raw(', "name": "Grace"'))).status_code == 201
    assert ours.leads.leads[0].name == "Grace"


# --- keys and replays ----------------------------------------------------------------------------


async def test_the_header_outranks_the_bodys_request_id(ours: Gateway) -> None:
    await ours.post(submission(request_id="in-body"), Idempotency_Key="in-header")
    await ours.post(submission(request_id="in-body", name="Grace"))
    first, second = ours.leads.leads
    assert (first.request_id, first.lead_id) == ("in-header", lead_id_for("www", "in-header"))
    assert (second.request_id, second.lead_id) == ("in-body", lead_id_for("www", "in-body"))


async def test_without_a_key_each_post_is_a_lead_of_its_own(ours: Gateway) -> None:
    ids = {(await ours.post()).json()["leadId"] for _ in range(3)}
    assert len(ids) == 3
    assert len({lead.request_id for lead in ours.leads.leads}) == 3


async def test_a_replay_gets_the_first_answer_and_says_so(ours: Gateway) -> None:
    first = await ours.post(Idempotency_Key="k")
    ours.passes(60)
    again = await ours.post_raw(
        # Another order, other blanks, an absent field as null, a request_id of its own: the same lead.
        '{ "message":"Hello ", "email":"ada@example.com","service":"Web","name":" Ada","phone":null,'
        '"request_id":"other", "meta":{"ip":"192.0.2.9"}}',
        {"Idempotency-Key": "k"},
    )
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(ours.leads.records) == 1


async def test_the_same_key_for_another_lead_is_refused(ours: Gateway) -> None:
    await ours.post(Idempotency_Key="k")
    problem = is_problem(await ours.post(submission(message="Other"), Idempotency_Key="k"), 422)
    assert problem["type"] == "urn:fastcore:problem:key-reused"
    assert len(ours.leads.records) == 1


async def test_sites_do_not_share_keys() -> None:
    tokens = "www:first-token-0123456789abcdef,shop:second-token-0123456789abc"
    async with gateway(site_tokens=tokens) as ours:
        for token, text in (("first-token-0123456789abcdef", "A"), ("second-token-0123456789abc", "B")):
            answer = await ours.client.post(
                "/inbound/leads",
                json=submission(message=text),
                headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "k"},
            )
            assert answer.status_code == 201


async def test_a_key_that_got_no_201_is_free_for_another_try(ours: Gateway) -> None:
    ours.leads.kafka_goes_away()
    is_problem(await ours.post(Idempotency_Key="k"), 503)
    ours.leads.error = None
    answer = await ours.post(submission(message="Corrected"), Idempotency_Key="k")
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers


# --- faults --------------------------------------------------------------------------------------


async def test_without_an_acknowledgement_the_answer_is_503_with_retry_after(ours: Gateway) -> None:
    ours.leads.kafka_goes_away()
    answer = await ours.post()
    is_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_bug_is_a_problem_too_and_shows_nothing_of_itself(ours: Gateway) -> None:
    ours.leads.error = RuntimeError("secret of the inside")
    answer = await ours.post()
    is_problem(answer, 500)
    assert "secret" not in answer.text
    assert answer.headers["X-Request-ID"]


async def test_regression_a_website_cannot_use_the_example_token_under_a_name_of_its_own() -> None:
    async with gateway(debug=Debug(DEBUG=True)) as ours:
        answer = await ours.post(Host="rebound.evil.example")
        assert (answer.status_code, ours.leads.records) == (421, [])
        for name in ("localhost:8000", "127.0.0.1:8001", "ingest:8001"):
            assert (await ours.post(Host=name)).status_code == 201
    async with gateway(http=Http(allowed_hosts="leads.example.com")) as ours:
        assert (await ours.post(Host="leads.example.com")).status_code == 201
        assert (await ours.post(Host="other.example.com")).status_code == 421


async def test_unknown_paths_and_methods_are_problems(ours: Gateway) -> None:
    is_problem(await ours.client.get("/nowhere"), 404)
    is_problem(await ours.client.post("/inbound/leads/"), 404)
    refused = await ours.client.get("/inbound/leads")
    is_problem(refused, 405)
    assert refused.headers["Allow"] == "POST"
    is_problem(await ours.client.post("/livez"), 405)


# --- correlation, audit, limits, CORS ------------------------------------------------------------


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
    (entry,) = ours.trail.entries
    assert entry.event == AuditEvent.LEAD_REJECTED
    assert (entry.actor, entry.status_code, entry.request_id) == ("www", 422, "r1")
    assert entry.details == {"code": "invalid-lead", "fields": ["email", "extra"]}
    assert "bob" not in entry.model_dump_json()


async def test_an_accepted_lead_leaves_no_entry_here(ours: Gateway) -> None:
    await ours.post()
    assert ours.trail.entries == []


async def test_a_flood_is_429_with_the_limits_fields_and_passes() -> None:
    async with gateway(requests_per_token_per_minute=2) as ours:
        first = await ours.post()
        assert first.headers["RateLimit-Policy"] == '"token";q=2;w=60'
        assert first.headers["RateLimit"] == '"token";r=1;t=60'
        ours.passes(10)
        await ours.post()
        refused = await ours.post()
        is_problem(refused, 429)
        assert refused.headers["Retry-After"] == "50"
        assert refused.headers["RateLimit"] == '"token";r=0;t=50'
        ours.passes(50)
        assert (await ours.post()).status_code == 201


async def test_there_is_no_flood_limit_unless_asked_for(ours: Gateway) -> None:
    for _ in range(50):
        answer = await ours.post()
        assert answer.status_code == 201
    assert "RateLimit" not in answer.headers


async def test_too_many_leads_from_one_address_are_kept_as_spam() -> None:
    async with gateway(leads_per_ip_per_hour=2, leads_per_email_per_hour=0) as ours:
        for ip in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"):
            assert (await ours.post(submission(meta={"ip": ip}))).status_code == 201
        ours.passes(3600)
        await ours.post(submission(meta={"ip": "192.0.2.1"}))
        reasons = [lead.spam_reasons for lead in ours.leads.leads]
        assert reasons == [(), (), ("rate_ip",), ("rate_ip",), (), ()]


async def test_too_many_leads_with_one_email_are_kept_as_spam() -> None:
    async with gateway(leads_per_email_per_hour=1) as ours:
        for email in ("ada@example.com", "ADA@example.com", "grace@example.com"):
            assert (await ours.post(submission(email=email))).status_code == 201
        assert [lead.spam_reasons for lead in ours.leads.leads] == [(), ("rate_email",), ()]


async def test_a_replay_counts_for_no_limit() -> None:
    async with gateway(leads_per_email_per_hour=1) as ours:
        for _ in range(3):
            await ours.post(Idempotency_Key="k")
        assert [lead.spam_reasons for lead in ours.leads.leads] == [()]


async def test_regression_a_lead_that_the_site_must_repeat_does_not_become_spam() -> None:
    async with gateway(leads_per_email_per_hour=2, leads_per_ip_per_hour=2) as ours:
        lead = submission(meta={"ip": "192.0.2.1"})
        ours.leads.kafka_goes_away()
        for _ in range(5):
            is_problem(await ours.post(lead, Idempotency_Key="k"), 503)
        ours.leads.error = None
        await ours.post(lead, Idempotency_Key="k")
        await ours.post(lead, Idempotency_Key="l")
        await ours.post(lead, Idempotency_Key="m")
        reasons = [lead.spam_reasons for lead in ours.leads.leads]
        assert reasons == [(), (), ("rate_ip", "rate_email")]


async def test_spam_gets_the_same_answer_as_any_lead(ours: Gateway) -> None:
    answer = await ours.post(submission(meta={"honeypot": "x" * 5000, "form_rendered_at": "\x00garbage"}))
    assert answer.status_code == 201
    assert answer.json()["status"] == "received"
    assert ours.leads.leads[0].spam_reasons == ("honeypot", "form_time_implausible")


async def test_pages_of_other_origins_may_not_post(ours: Gateway) -> None:
    answer = await ours.post(Origin="https://www.example.com")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_pages_of_configured_origins_may_post_and_read_the_answer() -> None:
    async with gateway(cors_origins="https://www.example.com/, https://shop.example.com") as ours:
        preflight = await ours.client.options(
            "/inbound/leads",
            headers={
                "Origin": "https://www.example.com",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,idempotency-key",
            },
        )
        assert preflight.status_code == 200
        allowed = "Access-Control-Allow-Origin"
        assert preflight.headers[allowed] == "https://www.example.com"
        assert (await ours.post(Origin="https://shop.example.com")).headers[
            allowed
        ] == "https://shop.example.com"
        assert (await ours.post({}, Origin="https://shop.example.com")).headers[allowed]
        assert allowed not in (await ours.post(Origin="https://evil.example")).headers


async def test_the_status_tells_the_spool_and_the_breaker(ours: Gateway) -> None:
    answer = await ours.client.get("/internal/status")
    empty = {"depth": 0, "bytes": 0, "oldest_age_seconds": None, "damaged_files": 0}
    assert answer.json() == IsPartialDict({"spool": empty, "breaker": "closed"})


async def test_operations_are_answered(ours: Gateway) -> None:
    assert (await ours.client.get("/livez")).status_code == 200
    await ours.post()
    assert b'fastcore_leads_accepted_total{outcome="received"}' in (await ours.client.get("/metrics")).content
