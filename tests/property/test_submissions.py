"""Whatever a program or a visitor puts into a form, the gateway answers 201 and keeps the lead."""

import asyncio
import json
import unicodedata
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.leads import LeadReceived
from tests.support.services.gateway import Gateway, run_gateway, submission

TEXT: Final = st.text(st.characters(), max_size=20)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
SOURCE: Final = st.dictionaries(st.sampled_from(["utm_source", "gclid", "page_url", "mine"]) | TEXT, JSON)
META: Final = st.dictionaries(
    st.sampled_from(
        ["ip", "honeypot", "form_rendered_at", "fill_seconds", "consent_text", "consent_version"]
    ),
    JSON,
)
MACHINE: Final = {
    "source": JSON | SOURCE,
    "meta": JSON | META,
    **dict.fromkeys(("submitted_at", "locale", "consent", "request_id"), JSON),
}
# Letters that show nothing, and may be removed.
BLANK_LETTERS: Final = "\u115f\u1160\u3164\uffa0"

Post = Callable[[dict[str, Any]], LeadReceived]


@pytest.fixture
def post() -> Iterator[Post]:
    """Return a function that posts a lead as ASCII JSON, expects a 201 and returns the published lead."""

    async def send(gateway: Gateway, body: dict[str, Any]) -> LeadReceived:
        gateway.leads.records.clear()
        answer = await gateway.post_raw(json.dumps(body))
        assert answer.status_code == 201, answer.text
        (lead,) = gateway.leads.leads
        return lead

    with asyncio.Runner() as runner:
        context = run_gateway(requests_per_token_per_minute=0)
        gateway = runner.run(context.__aenter__())
        yield lambda body: runner.run(send(gateway, body))
        runner.run(context.__aexit__(None, None, None))


def letters(text: str | None) -> str:
    """Return the letters and digits of a text, which no normalisation but NFC may change."""
    return "".join(
        char
        for char in unicodedata.normalize("NFC", text or "")
        if char.isalnum() and char not in BLANK_LETTERS
    )


def test_any_json_in_a_machine_filled_field_keeps_the_lead(post: Post) -> None:
    numbers = count()

    @settings(max_examples=400, deadline=None)
    @given(fields=st.fixed_dictionaries({}, optional=MACHINE))
    def check(fields: dict[str, Any]) -> None:
        number = next(numbers)
        if "request_id" in fields:  # a new key each time, because a repeated one is the same lead
            fields = fields | {"request_id": [number, fields["request_id"]]}
        lead = post(submission(message=f"Hello {number}", **fields))
        assert (lead.name, lead.email, lead.service) == ("Ada", "ada@example.com", "Web")
        assert lead.message == f"Hello {number}"

    check()


def test_text_of_a_machine_filled_field_is_read_or_stored(post: Post) -> None:
    @settings(max_examples=200, deadline=None)
    @given(name=st.sampled_from(["submitted_at", "locale", "consent", "source"]), value=TEXT)
    def check(name: str, value: str) -> None:
        lead = post(submission(**{name: value}))
        kept = lead.extra.get(name)
        if letters(value) and kept is None:
            assert getattr(lead, name) is not None
        elif kept is not None:
            assert letters(str(kept)) == letters(value)

    check()


def test_any_text_of_a_visitor_arrives_intact(post: Post) -> None:
    names = ("name", "message", "service", "phone", "company", "mine")

    @settings(max_examples=400, deadline=None)
    @given(typed=st.fixed_dictionaries(dict.fromkeys(names, TEXT | st.text(min_size=150, max_size=300))))
    def check(typed: dict[str, str]) -> None:
        lead = post({"email": "ada@example.com", "always": "filled in", **typed})
        arrived = {name: getattr(lead, name, None) or "" for name in names}
        if not letters(typed["service"]):
            arrived["service"] = ""
        for name in names:
            text = str(lead.extra.get(name, arrived[name]))  # the full text of what was truncated
            assert letters(text) == letters(typed[name])
            assert unicodedata.is_normalized("NFC", text)
            assert "\x00" not in text

    check()


def test_any_answer_under_any_name_arrives(post: Post) -> None:
    @settings(max_examples=200, deadline=None)
    @given(answers=st.dictionaries(TEXT, TEXT, max_size=6))
    def check(answers: dict[str, str]) -> None:
        fields = {f"my {name}": value for name, value in answers.items()}
        lead = post(submission(**fields))
        assert sorted(map(letters, map(str, lead.extra.values()))) == sorted(map(letters, fields.values()))

    check()
