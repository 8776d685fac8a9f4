"""Unknown fields beyond the size limit are shortened and marked, and the lead is accepted."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from contracts.extra_fields import EXTRA_MAX_BYTES, SHORTENED
from contracts.forgiving import read_submission
from tests.support.services.gateway import submission


def extra_of(**fields: Any) -> dict[str, Any]:
    return read_submission(submission(**fields)).extra


def test_extra_fields_within_the_limit_are_unchanged() -> None:
    fields = {"token": "x" * 60_000, "answers": [1, {"a": None}], "budget": 7}
    assert extra_of(**fields) == fields


def test_only_the_longest_values_are_shortened_and_marked() -> None:
    found = extra_of(token="x" * 90_000, essay="y" * 50_000, budget="10,000", topics=["a", "b"])
    assert (found["budget"], found["topics"]) == ("10,000", ["a", "b"])
    for name, letter in (("token", "x"), ("essay", "y")):
        assert found[name].endswith(SHORTENED)
        assert found[name].startswith(letter * 30_000)
    assert EXTRA_MAX_BYTES - 100 < len(to_json(found)) <= EXTRA_MAX_BYTES


def test_long_list_is_shortened_as_json_text() -> None:
    found = extra_of(rows=[{"n": n} for n in range(20_000)])
    assert found["rows"].startswith('[{"n":0},{"n":1}')
    assert found["rows"].endswith(SHORTENED)


@pytest.mark.parametrize("letter", ['"', "\x01", "👋", "ß"])
def test_limit_counts_bytes_as_json(letter: str) -> None:
    found = extra_of(text=letter * 60_000)
    assert set(found["text"].removesuffix(SHORTENED)) == {letter}
    assert EXTRA_MAX_BYTES - 100 < len(to_json(found)) <= EXTRA_MAX_BYTES


def test_first_1000_fields_are_kept_and_the_rest_counted() -> None:
    found = extra_of(**{f"field {n}": "x" * 40 for n in range(3000)})
    assert found == {f"field {n}": "x" * 40 for n in range(1000)} | {
        "[shortened]": "2000 more fields were dropped"
    }
    assert len(to_json(found)) <= EXTRA_MAX_BYTES


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(
            st.characters(exclude_characters="\0\v\f\x85\u2028\u2029", exclude_categories=["Cs"]),
            max_size=300,
        ),
        st.integers(0, 70_000),
        max_size=30,
    ),
    st.sampled_from(["x", '"', "👋"]),
)
def test_lead_is_accepted_with_extra_fields_of_any_size(sizes: dict[str, int], letter: str) -> None:
    fields = {f"_{name}": letter * size for name, size in sizes.items()}
    found = extra_of(**fields)
    assert len(to_json(found)) <= EXTRA_MAX_BYTES
    for name in found.keys() & fields.keys():
        kept = found[name].removesuffix(SHORTENED)
        assert found[name] == fields[name] or fields[name].startswith(kept)
