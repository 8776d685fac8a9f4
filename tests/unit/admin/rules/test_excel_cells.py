"""The cells of an Excel file: real times in the viewer's zone, texts for people, and nothing lost unsaid."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin.rules.excel_cells import CELL_MAX_UNITS, SHORTENED, cell, heading, shorten
from services.admin.schemas.export_columns import COLUMNS

KOLKATA = ZoneInfo("Asia/Kolkata")


def cell_of(column: str, **changes: Any) -> Any:
    empty = dict.fromkeys(COLUMNS) | {"source": None, "extra": {}, "spam_reasons": [], "written_notes": None}
    return cell(empty | {"created_at_utc": datetime(2024, 1, 3, tzinfo=UTC)} | changes, column, KOLKATA)


def test_times_are_local_and_headings_name_the_zone() -> None:
    assert cell_of("created_at") == datetime(2024, 1, 3, 5, 30)  # noqa: DTZ001 - Excel's times have no zone
    assert cell_of("created_at_utc") == datetime(2024, 1, 3)  # noqa: DTZ001
    assert [heading(name, KOLKATA) for name in ("created_at", "created_at_utc", "phone")] == [
        "Received (Asia/Kolkata)",
        "Received (UTC)",
        "Phone",
    ]


@pytest.mark.parametrize(
    ("year", "text"), [(1, "0001-01-01T00:00:00Z"), (1899, "1899-01-01T00:00:00Z")], ids=str
)
def test_a_time_that_excel_does_not_know_is_text(year: int, text: str) -> None:
    time = datetime(year, 1, 1, tzinfo=UTC)
    assert cell_of("submitted_at", submitted_at=time) == text
    west = {"submitted_at": time, "source": None}
    assert cell(west, "submitted_at", ZoneInfo("America/Lima")) == text


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("status", "received", "New"),
        ("spam_reasons", ["too_many_links", "new_rule"], "more links than usual, new rule"),
        ("extra", {"Colour": "red", "Size": [1, 2], "Gift": True}, "Colour: red\nSize: 1, 2\nGift: true"),
        ("extra", {}, None),
        ("consent", True, True),
        ("phone", "+44 20 7946 0958", "+44 20 7946 0958"),
        ("message", "=1+1", "=1+1"),
        ("message", "a\r\nb\rc", "a\nb\nc"),
        ("message", "", None),
        ("source", {"utm_source": "x"}, None),
    ],
)
def test_cells(column: str, value: Any, shown: Any) -> None:
    changes = {column: value}
    assert cell_of("utm_term" if column == "source" else column, **changes) == shown


RUNS = st.lists(st.tuples(st.sampled_from(["a", "\U0001f600", "é"]), st.integers(1, 20_000)), max_size=4)


@given(RUNS.map(lambda runs: "".join(char * count for char, count in runs)))
def test_a_long_text_fits_into_a_cell_and_says_that_it_was_cut(text: str) -> None:
    shown = shorten(text)
    assert len(shown.encode("utf-16-le")) <= CELL_MAX_UNITS * 2
    assert shown == text or (shown.endswith(SHORTENED) and text.startswith(shown.removesuffix(SHORTENED)))


def test_the_longest_text_is_not_cut() -> None:
    emoji = "\U0001f600" * (CELL_MAX_UNITS // 2)
    assert shorten("a" + emoji) == "a" + emoji
    assert shorten("ab" + emoji) != "ab" + emoji
    assert len(shorten("b" * 40_000)) == CELL_MAX_UNITS
