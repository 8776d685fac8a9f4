"""A submission's digest and its record. Every accepted submission can be stored and read back."""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.field_types import EXTRA_MAX_DEPTH
from contracts.forgiving import NotJsonError, parse_submission_json
from contracts.lead_record import LeadRecord, body_sha256, build_record, request_id_of, service_of
from contracts.leads import LeadReceived, LeadSubmission
from contracts.text import is_blank
from contracts.visit import Source

LEAD_ID = uuid4()
NOW = datetime(2024, 1, 3, 10, 30, tzinfo=UTC)
BASE = {"name": "Ada", "email": "ada@example.com", "service": "Web", "message": "Hello"}


def digest(**changes: Any) -> str:
    return body_sha256(LeadSubmission.model_validate_json(json.dumps(BASE | changes)))


def record_of(submission: LeadSubmission) -> LeadRecord:
    return build_record(
        submission,
        lead_id=LEAD_ID,
        request_id="r",
        site="www",
        default_service="Website",
        digest=body_sha256(submission),
        now=NOW,
        spam_reasons=("honeypot",),
        correlation_id="c",
        traceparent=None,
    )


def published_fields(submission: LeadSubmission) -> dict[str, Any]:
    """Return the fields of a submission that its record must contain."""
    handed_on = submission.model_dump(exclude={"meta", "request_id", *submission.extra})
    for name in ("name", "phone", "company", "locale"):
        handed_on[name] = handed_on[name] or None
    handed_on["service"] = service_of(submission, "Website")
    if handed_on["source"]:
        handed_on["source"] = {
            name: value or None
            for name, value in handed_on["source"].items()
            if value or name in Source.model_fields
        }
    meta = submission.meta.model_dump() if submission.meta else {}
    consent = {name: meta.get(name) for name in ("consent_text", "consent_version")}
    return handed_on | consent | {"extra": submission.extra}


def test_digest_ignores_formatting_and_meta() -> None:
    assert digest() == digest(name="  Ada ", phone=None, request_id="x", meta={"ip": "192.0.2.1"})
    assert digest(a=1, b={"c": 1, "d": 2}) == digest(b={"d": 2, "c": 1}, a=1)
    assert digest(submitted_at="2024-01-03T10:00:00Z") == digest(submitted_at="2024-01-03T11:00:00+01:00")


def test_digest_differs_for_every_field() -> None:
    others = [
        digest(name="Bob"),
        digest(email="bob@example.com"),
        digest(message="Bye"),
        digest(phone="1"),
        digest(company="1"),
        digest(consent=False),
        digest(consent=True),
        digest(source={"page_url": "1"}),
        digest(a=1),
        digest(a="1"),
        digest(a=[1, 2]),
        digest(a=[2, 1]),
        digest(),
    ]
    assert len(set(others)) == len(others)


def test_digest_is_the_same_in_every_release() -> None:
    # A change here makes every retry over a deployment look like a conflict.
    assert digest(phone="1", source={"utm_term": "x"}, budget=["ä", 1.5]) == (
        "f844a839eef70e79f8eeacc2701ceabe7a3b258ef7c81218ed05513fc46a41fd"
    )


def test_record_has_the_lead_id_as_key_and_all_fields() -> None:
    record = record_of(LeadSubmission.model_validate(BASE | {"more": {"a": [1.5, None, True]}}))
    assert record.key == str(LEAD_ID).encode()
    assert set(json.loads(record.value)) == set(LeadReceived.model_fields)
    lead = LeadReceived.model_validate_json(record.value)
    assert (lead.lead_id, lead.request_id, lead.site, lead.occurred_at) == (LEAD_ID, "r", "www", NOW)
    assert lead.spam_reasons == ("honeypot",)


TEXT = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
SUBMISSIONS = st.fixed_dictionaries(
    {"name": TEXT, "email": st.just("ada@example.com") | st.emails(), "service": TEXT, "message": TEXT},
    optional={
        "phone": TEXT,
        "company": TEXT,
        "locale": TEXT,
        "consent": st.booleans() | TEXT,
        "submitted_at": st.datetimes(timezones=st.timezones()).map(str) | st.integers() | TEXT,
        "source": st.dictionaries(st.sampled_from(["page_url", "utm_term", "other"]), TEXT),
        "meta": st.dictionaries(st.sampled_from(["ip", "honeypot", "consent_text", "other"]), JSON),
        "more": JSON,
    },
)


def storable(value: Any, depth: int = 0) -> bool:
    """Return True if PostgreSQL's text and jsonb can store the value. Independent of the contract's code."""
    if isinstance(value, str):
        return "\x00" not in value and not any(0xD800 <= ord(char) < 0xE000 for char in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 2**1024
    if isinstance(value, dict):
        pairs = [part for pair in value.items() for part in pair]
        return depth < EXTRA_MAX_DEPTH + 2 and all(storable(part, depth + 1) for part in pairs)
    if isinstance(value, list):
        return depth < EXTRA_MAX_DEPTH + 2 and all(storable(part, depth + 1) for part in value)
    return value is None


@given(body=SUBMISSIONS)
def test_accepted_lead_survives_serialisation_and_can_be_stored(body: dict[str, Any]) -> None:
    try:
        submission = parse_submission_json(json.dumps(body).encode())
    except NotJsonError:
        assert re.search("NaN|Infinity", json.dumps(body))
        return
    except ValidationError:
        assert all(is_blank(body[name]) for name in ("message", "name", "service"))
        return
    record = record_of(submission)
    lead = LeadReceived.model_validate_json(record.value)
    assert lead.model_dump(include=set(published_fields(submission))) == published_fields(submission)
    assert storable(json.loads(record.value))
    assert lead.name is None or lead.name == lead.name.strip() != ""
    assert lead.submitted_at is None or lead.submitted_at.tzinfo is UTC
    again = parse_submission_json(json.dumps(dict(reversed(body.items())), indent=2).encode())
    assert body_sha256(again) == lead.body_sha256


def test_request_id_is_a_digest_if_it_may_hold_an_address() -> None:
    assert request_id_of("order-7") == "order-7"
    assert "ada" not in request_id_of("ada@example.com-7")
    assert request_id_of("ada@example.com-7") == request_id_of("ada@example.com-7")


def test_service_falls_back_to_the_site_then_to_the_page() -> None:
    titled = LeadSubmission.model_validate(BASE | {"service": None, "source": {"page_title": "Prices"}})
    assert service_of(titled, "Contact form") == "Contact form"
    assert service_of(titled, "") == "Prices"
    assert service_of(LeadSubmission.model_validate(BASE | {"service": " "}), "") == ""
    assert service_of(LeadSubmission.model_validate(BASE), "Contact form") == "Web"
