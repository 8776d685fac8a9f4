"""Invalid submissions and keys are rejected, and the response names every invalid field."""

import json
import time

import pytest

from tests.support.services.gateway import TOKEN, Gateway, expect_problem, submission


def raw(tail: str) -> str:
    """A good body with more JSON text put in."""
    return json.dumps(submission())[:-1] + tail + "}"


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
async def test_invalid_json_gets_a_400_quickly_without_an_echo(
    gateway: Gateway, content: str | bytes
) -> None:
    begun = time.perf_counter()
    answer = await gateway.post_raw(content)
    assert time.perf_counter() - begun < 1
    expect_problem(answer, 400)
    assert "secret" not in answer.text
    assert (await gateway.post()).status_code == 201


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
async def test_422_names_every_invalid_field_without_an_echo(
    gateway: Gateway, content: str, fields: set[str]
) -> None:
    answer = await gateway.post_raw(content)
    problem = expect_problem(answer, 422)
    assert {error["field"] for error in problem["errors"]} == fields
    assert all(error["message"] and "Input" not in error["message"] for error in problem["errors"])
    assert "secret" not in answer.text
    assert "\\u0000" not in answer.text
    assert not gateway.leads.records
    assert (await gateway.post()).status_code == 201


async def test_422_names_invalid_body_and_key_together(gateway: Gateway) -> None:
    problem = expect_problem(await gateway.post({}, Idempotency_Key="x" * 256), 422)
    assert {error["field"] for error in problem["errors"]} >= {"Idempotency-Key", "name", "email"}


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "schl\xfcssel"])
async def test_invalid_idempotency_key_gets_a_422(gateway: Gateway, key: str) -> None:
    answer = await gateway.client.post(
        "/inbound/leads",
        json=submission(),
        headers=[(b"Authorization", f"Bearer {TOKEN}".encode()), (b"Idempotency-Key", key.encode("latin-1"))],
    )
    assert expect_problem(answer, 422)["errors"] == [
        {"field": "Idempotency-Key", "message": "must be 1 to 255 printable ASCII characters"}
    ]


async def test_lead_may_contain_nan_and_infinity_as_text(gateway: Gateway) -> None:
    assert (await gateway.post(submission(name="NaN", message="Infinity"))).status_code == 201


async def test_last_value_of_a_duplicate_key_counts(gateway: Gateway) -> None:
    assert (await gateway.post_raw(raw(', "name": "Grace"'))).status_code == 201
    assert gateway.leads.leads[0].name == "Grace"
