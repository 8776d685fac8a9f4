"""From a form's fields to a submission: no answer is lost, whatever a form sends."""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from contracts.forgiving import read_submission
from runtime.http.problem_details import ProblemError
from runtime.sites.model import NO_SITE, Site
from services.ingest.forms.body import FormBody, read_form
from services.ingest.forms.field_names import target_of
from services.ingest.forms.form_lead import CONTROLS, Visit, build_submission, text_of
from services.ingest.request import LeadRequest

VISIT = Visit("https://studio.example/?utm_source=a&utm_source=b&UTM-Medium=c", "203.0.113.7", "Browser")
NOBODY = Visit(None, None, None)
MULTIPART = 'multipart/form-data; boundary="X"'
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def submission(
    fields: dict[str, JsonValue], site: Site = NO_SITE, visit: Visit = NOBODY
) -> dict[str, JsonValue]:
    return build_submission(FormBody(fields), site, visit)


def test_the_visitors_address_comes_from_the_request_only() -> None:
    body = submission({"ip": "198.51.100.1", "meta": {"ip": "198.51.100.2"}}, visit=VISIT)
    assert body["meta"] == {"ip": "203.0.113.7", "user_agent": "Browser"}
    assert submission({"remote_ip": "198.51.100.1"})["meta"] == {"ip": None, "user_agent": None}


def test_the_campaign_comes_from_the_page_that_the_form_names() -> None:
    assert submission({}, visit=VISIT)["source"] == {
        "page_url": VISIT.referer,
        "utm_source": "a",
        "utm_medium": "c",
    }
    named = submission({"page_url": "https://x.example/?gclid=g", "utm_source": "field"}, visit=VISIT)
    assert named["source"] == {"page_url": "https://x.example/?gclid=g", "gclid": "g", "utm_source": "field"}
    many = Visit("https://x.example/?" + "a=b&" * 1000, None, None)
    assert submission({}, visit=many)["source"] == {"page_url": many.referer}


def test_the_sites_own_names_come_first() -> None:
    site = Site(fields={"message": ("worum",), "name": ("vor nach",)})
    body = submission({"worum": "A", "message": "B", "vor": "Ada", "nach": "Lovelace"}, site)
    assert (body["message"], body["name"]) == ("A", "Ada Lovelace")
    assert "B" in body.values() or body.get("message (2)") == "B"


def test_a_file_is_no_answer_to_a_question() -> None:
    form = FormBody({"message": "Hallo"}, (("message", "a.pdf"), ("", "b.pdf"), ("email", "c.pdf")))
    body = build_submission(form, NO_SITE, NOBODY)
    assert body["message"] == "Hallo"
    assert body["message (file)"] == "a.pdf (a file, which was not kept)"
    assert body["file"] == "b.pdf (a file, which was not kept)"
    assert body["email (file)"] == "c.pdf (a file, which was not kept)"


def test_the_last_of_several_control_fields_counts() -> None:
    assert text_of(FormBody({"_next": ["/a", " /b "]}), "_next") == "/b"
    assert text_of(FormBody({"_next": {"a": 1}}), "_next") == text_of(FormBody({}), "_next") == ""


@given(st.dictionaries(st.text("abcdefg_-[] ", min_size=1), st.text("xyz", min_size=3), max_size=20))
def test_every_answer_is_in_the_lead(fields: dict[str, str]) -> None:
    numbered: dict[str, JsonValue] = {
        name: f"{value}{number}" for number, (name, value) in enumerate(fields.items())
    }
    lead = read_submission(submission({**numbered, "email": "ada@example.com", "message": "Hallo"}))
    stored = lead.model_dump_json()
    assert all(f"{value}" in stored for name, value in numbered.items() if name not in CONTROLS)


@given(st.dictionaries(st.text().filter(lambda name: target_of(name) is None), json_values, max_size=8))
def test_any_json_becomes_a_lead_if_it_can_be_answered(fields: dict[str, Any]) -> None:
    fields |= {"email": "ada@example.com", "message": "Hallo"}
    lead = read_submission(submission(fields, visit=VISIT))
    assert (lead.email, lead.message) == ("ada@example.com", "Hallo")


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", MULTIPART, "application/json", ""]
)
@given(content=st.binary(max_size=300) | st.text('X-\r\n"=;:&%{}[]a1', max_size=300).map(str.encode))
def test_any_bytes_are_read_or_refused(content_type: str, content: bytes) -> None:
    body = b"--X\r\n" + content if content_type == MULTIPART else content

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    scope = {"headers": [(b"content-type", content_type.encode())]}
    with contextlib.suppress(ProblemError):  # anything else fails the test
        form = asyncio.run(read_form(LeadRequest(scope, receive)))
        build_submission(form, NO_SITE, VISIT)
