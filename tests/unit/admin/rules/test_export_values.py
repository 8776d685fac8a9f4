"""Each column of an export finds its value in a lead, and a program can read it as text."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.admin.rules.export_values import read_value, to_text

LEAD = {
    "name": "Ada",
    "notes": "by the API",
    "written_notes": "2024-01-03 10:30 UTC, bob: called",
    "created_at_utc": datetime(2024, 1, 3, tzinfo=UTC),
    "source": {"utm_source": "x", "mine": "y"},
}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "Ada"),
        ("created_at", LEAD["created_at_utc"]),
        ("utm_source", "x"),
        ("utm_term", None),
        ("notes", "by the API"),
        ("all_notes", "2024-01-03 10:30 UTC, bob: called\nby the API"),
        ("source_other", {"mine": "y"}),
    ],
)
def test_a_column_has_the_value_of_its_field(column: str, value: Any) -> None:
    assert read_value(LEAD, column) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ({}, ""),
        ({"a": "é"}, '{"a": "é"}'),
        (["a", 1], "a, 1"),
        (True, "true"),
        (datetime(2024, 1, 3, tzinfo=UTC), "2024-01-03T00:00:00Z"),
    ],
)
def test_text_for_programs(value: Any, text: str) -> None:
    assert to_text(value) == text
