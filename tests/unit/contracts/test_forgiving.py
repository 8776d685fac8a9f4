"""Submissions of any shape are read, and what does not fit its field is stored in `extra`."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.field_types import IdempotencyKey
from contracts.forgiving import NotJsonError, parse_submission_json, read_key, read_submission
from contracts.leads import EXAMPLE, LeadSubmission
from tests.support.services.gateway import submission

AT = datetime(2024, 1, 3, 10, 30, 42, tzinfo=UTC)


def read(**fields: Any) -> LeadSubmission:
    return parse_submission_json(json.dumps(submission(**fields)).encode())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (442079460000, "442079460000"),
        (1.5, "1.5"),
        (["+44 20", "7946"], "+44 20, 7946"),
        ([["1"], None, "", 2], "1, 2"),
        (True, "true"),
        ([], None),
        ({}, None),
        ([""], None),
        ("\u200b", None),
        (None, None),
    ],
)
def test_numbers_become_text_and_lists_are_joined(value: Any, text: str | None) -> None:
    lead = read(phone=value, source={"utm_source": value})
    assert (lead.phone or None) == text
    assert lead.source is not None
    assert (lead.source.utm_source or None) == text
    assert lead.extra == {}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("\ufeff{}".encode(), "José 🦊"),
        ("{}".encode("utf-16"), "José 🦊"),
        ("{}".encode("utf-16-le"), "José 🦊"),
        (b"{}", "José"),
    ],
    ids=["byte order mark", "UTF-16", "UTF-16 without a mark", "UTF-8"],
)
def test_regression_the_encoding_of_a_body_costs_no_lead(body: bytes, name: str) -> None:
    encoding = "utf-8" if b"\x00" not in body else "utf-16-le"
    text = json.dumps(submission(name=name), ensure_ascii=False).encode(encoding)
    assert parse_submission_json(body.replace("{}".encode(encoding), text)).name == name


@pytest.mark.parametrize(
    ("name", "read_as"),
    [
        (b"Jos\xe9 M\xfcller", "José Müller"),  # Latin-1
        (b"Jos\x93\xe9\x94", "Jos“é”"),  # Windows-1252
        (b"M\xc3\xbcller M\xc3", "Müller MÃ"),  # cut inside a character
        (b"\xed\xa0\xbe\xed\xb6\x8a", "🦊"),  # CESU-8, as of Java or Oracle
        (b"Ada \xed\xa0\xbe", "Ada \ufffd"),  # half a pair
    ],
)
def test_regression_bytes_that_are_not_utf_8_cost_no_lead(name: bytes, read_as: str) -> None:
    body = json.dumps(submission(name="NAME")).encode().replace(b"NAME", name)
    assert parse_submission_json(body).name == read_as


@pytest.mark.parametrize("value", [True, False, [], {}, None, ""])
def test_a_value_that_cannot_tell_leads_apart_is_no_key(value: Any) -> None:
    assert read(request_id=value).request_id is None


def test_object_in_a_text_field_is_stored_as_text() -> None:
    lead = read(
        company={"label": "ACME"}, locale=[{"a": 1}], source={"utm_term": {"a": [1]}, "mine": {"b": 2}}
    )
    assert (lead.company, lead.locale) == (None, None)
    assert lead.extra == {
        "company": '{"label": "ACME"}', "locale": '[{"a": 1}]', "source.utm_term": '{"a": [1]}'
    }  # fmt: skip
    assert lead.source is not None
    assert lead.source.extra == {"mine": {"b": 2}}


def test_name_in_parts_is_joined() -> None:
    assert read(name={"first": "Ada", "middle": "", "last": "Lovelace"}).name == "Ada Lovelace"


def test_long_line_is_truncated_and_kept_in_full() -> None:
    lead = read(name="x" * 201, service="é" * 300)
    assert (lead.name, lead.service) == ("x" * 200, "é" * 200)
    assert lead.extra == {"name": "x" * 201, "service": "é" * 300}


@pytest.mark.parametrize(
    "value", ["ada@example.com\r\n", "\u200bada@example.com\ufeff", "ada\u00ad@example.com"]
)
def test_address_loses_invisible_characters(value: str) -> None:
    assert read(email=value).email == "ada@example.com"


def test_first_valid_address_of_several_counts() -> None:
    lead = read(email=["-", "ada@example.com", "bob@example.com"])
    assert lead.email == "ada@example.com"
    assert lead.extra == {"email": '["-", "ada@example.com", "bob@example.com"]'}


def test_unreadable_address_is_stored_as_text_if_there_is_a_phone() -> None:
    lead = read(email="ada at example.com", phone=49301234)
    assert (lead.email, lead.phone) == (None, "49301234")
    assert lead.extra == {"email": "ada at example.com"}


@pytest.mark.parametrize(
    ("value", "consent"),
    [
        ("yes", True), ("on", True), (1, True), (" TRUE ", True), (["on"], True), ("accepted", True),
        ("no", False), (0, False), ("off", False), ("", None), ([], None), ([""], None),
    ],
)  # fmt: skip
def test_consent_is_read(value: Any, consent: bool | None) -> None:
    lead = read(consent=value)
    assert lead.consent is consent
    assert lead.extra == {}


def test_unknown_word_is_no_consent() -> None:
    lead = read(consent="I read it")
    assert lead.consent is None
    assert lead.extra == {"consent": "I read it"}


@pytest.mark.parametrize("value", ["2024-01-03T10:30:42", [1704277842000], "Wed, 03 Jan 2024 10:30:42 GMT"])
def test_time_is_read(value: Any) -> None:
    assert read(submitted_at=value).submitted_at == AT


@pytest.mark.parametrize("value", ["tomorrow", "9999-12-31T23:59:59-14:00", {"a": 1}, True])
def test_unreadable_time_is_stored_as_text(value: Any) -> None:
    lead = read(submitted_at=value)
    assert lead.submitted_at is None
    assert lead.extra == {"submitted_at": value if isinstance(value, str) else json.dumps(value)}


@pytest.mark.parametrize("value", [[], "", {}, [[]], None])
def test_empty_objects_are_absent(value: Any) -> None:
    lead = read(source=value, meta=value)
    assert lead.source is None or not lead.source.model_dump(exclude_none=True)
    assert lead.extra == {}


def test_object_encoded_twice_or_in_a_list_is_read() -> None:
    lead = read(source='{"utm_source": "x"}', meta=[{"honeypot": "bot"}])
    assert lead.source is not None
    assert lead.source.utm_source == "x"
    assert lead.meta is not None
    assert lead.meta.honeypot == "bot"


def test_value_that_is_no_object_is_stored_as_text() -> None:
    assert read(source="newsletter", meta=[1, 2]).extra == {"source": "newsletter", "meta": "[1, 2]"}


def test_unreadable_value_replaces_no_answer() -> None:
    fields = submission(submitted_at="soon", source={"utm_term": {}, "utm_id": {"a": 1}})
    lead = read_submission(fields | {"source.utm_id": "mine"})
    assert lead.extra == {"source.utm_id": "mine", "source.utm_id (2)": '{"a": 1}', "submitted_at": "soon"}


def test_names_that_become_equal_are_both_stored() -> None:
    assert read_submission(submission() | {"caf\u00e9": 1, "cafe\u0301": 2}).extra == {
        "café": 1,
        "café (2)": 2,
    }


@pytest.mark.parametrize("value", [7, "x" * 256, "a\nb", ["a"], "schlüssel"])
def test_any_request_id_is_a_key(value: Any) -> None:
    key = read(request_id=value).request_id
    assert key
    assert key == read(request_id=value).request_id


def test_line_end_counts_as_one_character() -> None:
    text = "\r\n".join(["x" * 99] * 100)
    assert len(text) > 10_000
    assert read(message=text).message == text.replace("\r\n", "\n")


def test_lone_surrogate_is_replaced() -> None:
    body = (
        rb'{"email": "a@example.com", "message": "hi \ud83d", "source": {"utm_term": "\udc00"}, "\ud800": 1}'
    )
    lead = parse_submission_json(body)
    assert lead.message == "hi \ufffd"
    assert lead.source is not None
    assert lead.source.utm_term == "\ufffd"
    assert lead.extra == {"\ufffd": 1}


def test_deep_json_and_large_numbers_are_stored_as_text() -> None:
    body = json.dumps(submission(big=0, deep=0))
    deep = "[" * 100 + "]" * 100
    fields = body.replace('"big": 0', f'"big": {"9" * 6000}').replace('"deep": 0', f'"deep": {deep}')
    extra = parse_submission_json(fields.encode()).extra
    assert extra["big"] == "9" * 6000
    assert json.dumps(extra["deep"]).count("[") == 100


@pytest.mark.parametrize("body", [b"{", b'{"message": NaN}', b"\xff{}", b"[" * 5000])
def test_body_that_is_no_json_raises(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        parse_submission_json(body)


def test_line_breaks_in_json_texts_need_no_escape() -> None:
    body = json.dumps(submission(message="a\nb")).replace("\\n", "\n")
    assert parse_submission_json(body.encode()).message == "a\nb"


def test_key_is_read_without_quotes() -> None:
    assert [read_key(key) for key in ('"a"', "a", '"', '""')] == ["a", "a", '"', None]


@pytest.mark.parametrize(
    "key",
    ["a", '"a b"', '" a "', "a" * 255, "a" * 256, '"' + " " * 300 + '"', "ü", "a\x1cb", "a\tb", '"\xa0a"'],
)
def test_key_is_read_as_its_type_validates_it(key: str) -> None:
    text = key.strip('"') if key.startswith('"') else key
    expected: str | None
    try:
        expected = TypeAdapter[str](IdempotencyKey).validate_python(text)
    except ValidationError:
        expected = "sha256-" + sha256(text.encode()).hexdigest() if text.strip() else None
    assert read_key(key) == expected


def test_a_badly_shaped_field_costs_no_other_field() -> None:
    # A field that the reader of badly shaped submissions does not know would be lost in all of them.
    assert set(EXAMPLE) >= set(LeadSubmission.model_fields)
    intact = LeadSubmission.model_validate(EXAMPLE)
    mended = read_submission({**EXAMPLE, "locale": ["en-GB"]})
    assert mended == intact
