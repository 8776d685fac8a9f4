from time import perf_counter
from typing import Any

import pytest

from services.ingest.builders.adapters import adapter_of, read_body, submission_key
from tests.support.builder_examples import EXAMPLES, BuilderExample


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_payload_becomes_the_lead_that_the_visitor_sent(example: BuilderExample) -> None:
    payload = example.payload
    adapter = adapter_of(payload)

    assert read_body(adapter, payload, {}) == example.body
    assert submission_key(adapter, payload) == example.key


LEAD = {"name": "Ada", "email": "ada@example.com", "message": "Hello"}


@pytest.mark.parametrize(
    "more",
    [
        {"properties": "Villa A"},
        {"properties": ["Villa A"]},
        {"fields": "x"},
        {"fields": {"a": "b"}},
        {"fields": ["b"]},
        {"form": "x", "submission": "y"},
        {"namedValues": "x"},
        {"rawRequest": "[" * 50_000, "formID": "1"},
        {"rawRequest": "x", "formID": "1"},
        {"data": "x", "form_name": "y", "site_url": "z"},
        {"form_id": "1", "date_created": "2026", "source_url": "https://a.example"},
    ],
)
def test_regression_payload_that_resembles_a_builders_loses_no_answer(more: dict[str, Any]) -> None:
    payload: Any = LEAD | more

    assert read_body(adapter_of(payload), payload, {}).items() >= LEAD.items()


def test_regression_thousands_of_tally_fields_take_little_time() -> None:
    keys = ["", "a" * 300 + "_b", "_" * 200_000]
    fields = [{"key": keys[number % 3] if number % 100 else f"k{number}"} for number in range(10_000)]
    started = perf_counter()
    payload: Any = {"eventType": "x", "data": {"fields": fields}}
    list(adapter_of(payload).read_answers(payload))

    assert perf_counter() - started < 2
