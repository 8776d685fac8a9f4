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
    "nesting 10,000 deep": raw(f', "secret": {"[" * 10_000}{"]" * 10_000}'),
    "objects 8,000 deep": raw(', "secret": ' + '{"a":' * 8_000 + "1" + "}" * 8_000),
    "an open nesting 30,000 deep": '{"secret":' + "[" * 30_000,
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
    "nothing in it": ("{}", {"email", "message"}),
    "no way to answer": (json.dumps({"message": "secret"}), {"email"}),
    "a blank address": (json.dumps(submission(email=" ")), {"email"}),
    "an address that is none": (json.dumps(submission(email="secret at example.com")), {"email"}),
    "no address that is one": (json.dumps(submission(email={"secret": 1}, phone="-")), {"email"}),
    "no content": (json.dumps({"email": "ada@example.com", "consent": True}), {"message"}),
    "nothing but blanks": (
        json.dumps({"email": "ada@example.com", "name": "\u200b", "message": "\u200b\n\t", "more": [" "]}),
        {"message"},
    ),
    "nothing but what a program filled in": (
        json.dumps({"email": "ada@example.com", "submitted_at": "secret", "source": "secret", "meta": 1}),
        {"message"},
    ),
    "a message too long": (json.dumps(submission(message="x" * 10_001)), {"message"}),
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


@pytest.mark.parametrize("key", ["", " ", '""'])
async def test_blank_idempotency_key_is_none(gateway: Gateway, key: str) -> None:
    assert (await gateway.post(submission(request_id="7"), Idempotency_Key=key)).status_code == 201
    assert gateway.leads.leads[0].request_id == "7"


@pytest.mark.parametrize("key", ["x" * 256, "schl\xfcssel"])
async def test_unusable_idempotency_key_is_still_a_key(gateway: Gateway, key: str) -> None:
    headers = [(b"Authorization", f"Bearer {TOKEN}".encode()), (b"Idempotency-Key", key.encode("latin-1"))]
    ids = set()
    for _ in range(2):
        answer = await gateway.client.post("/inbound/leads", json=submission(), headers=headers)
        assert answer.status_code == 201
        ids.add(answer.json()["leadId"])
    assert len(ids) == len(gateway.leads.records) == 1


@pytest.mark.parametrize(("quoted", "bare"), [('"a-1"', "a-1"), (r'"a\"\\b"', r'a"\b'), ('  "a 1" ', "a 1")])
async def test_quoted_and_bare_idempotency_key_are_one_key(gateway: Gateway, quoted: str, bare: str) -> None:
    first = await gateway.post(submission(), Idempotency_Key=quoted)
    again = await gateway.post(submission(), Idempotency_Key=bare)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_lead_may_contain_nan_and_infinity_as_text(gateway: Gateway) -> None:
    assert (await gateway.post(submission(name="NaN", message="Infinity"))).status_code == 201


async def test_last_value_of_a_duplicate_key_counts(gateway: Gateway) -> None:
    assert (await gateway.post_raw(raw(', "name": "Grace"'))).status_code == 201
    assert gateway.leads.leads[0].name == "Grace"
