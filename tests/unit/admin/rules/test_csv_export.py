"""The CSV export contains every field, and no formula that a spreadsheet would run."""

import csv
import io
import re
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin.rules import csv_export
from services.admin.rules.csv_export import BOM, escape_formulas, header
from services.admin.schemas.export_columns import COLUMNS as ALL

UTC_ZONE = ZoneInfo("UTC")
COLUMNS = list(ALL)


def lines(leads: list[dict[str, Any]], zone: ZoneInfo) -> str:
    return csv_export.lines(leads, COLUMNS, zone)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+44 20", "'+44 20"),
        ("+44 20 7946 0958", "+44 20 7946 0958"),
        ("+44 (0)20-7946/0958", "+44 (0)20-7946/0958"),
        ("+442079460958", "+442079460958"),
        ("+44 20 7946 0958 ext 1", "'+44 20 7946 0958 ext 1"),
        ("+44 20 7946 0958\n", "'+44 20 7946 0958\n"),
        ("+1+1*123456", "'+1+1*123456"),
        ("+A1234567", "'+A1234567"),
        ("-44 20 7946 0958", "'-44 20 7946 0958"),
        ("=+44 20 7946 0958", "'=+44 20 7946 0958"),
        ("+44 20 7946 0958|cmd", "'+44 20 7946 0958|cmd"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\rx", "'\rx"),
        ('"=1+1', "'\"=1+1"),
        ("  =1+1", "'  =1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("a;=1+1", "a;'=1+1"),
        ("hello\n=1+1", "hello\n'=1+1"),
        ("hello\n\n=1+1", "hello\n\n'=1+1"),
        ("\n=1+1", "\n'=1+1"),
        ('a; "=1+1', "a;' \"=1+1"),
        ("a = b", "a = b"),
        ("ada@example.com", "ada@example.com"),
        ("", ""),
    ],
)
def test_escape_formulas(typed: str, shown: str) -> None:
    assert escape_formulas(typed) == shown


def test_regression_escaping_blank_lines_takes_linear_time() -> None:
    began = time.process_time()
    assert escape_formulas("a" + "\n" * 9_998 + "b") == "a" + "\n" * 9_998 + "b"
    assert time.process_time() - began < 0.5  # it took 3 s and blocked the event loop


def lead(**changes: Any) -> dict[str, Any]:
    empty = dict.fromkeys(COLUMNS) | {"source": None, "extra": {}, "spam_reasons": [], "written_notes": None}
    return empty | {"created_at_utc": datetime(2024, 1, 3, tzinfo=UTC)} | changes


def test_campaign_and_lines_of_an_answer_are_exported() -> None:
    text = lines(
        [lead(name=None, message="a\nb", source={"gclid": "x", "mine": "y", "first_utm_id": "z"})], UTC_ZONE
    )
    (row,) = csv.reader(io.StringIO(text, newline=""))
    cells = dict(zip(COLUMNS, row, strict=True))
    assert (cells["name"], cells["message"], cells["gclid"]) == ("", "a\nb", "x")
    assert (cells["source_other"], cells["first_utm_id"]) == ('{"mine": "y"}', "z")


def test_a_line_has_every_column() -> None:
    text = header(COLUMNS, bom=True) + lines(
        [lead(consent=True, extra={"a": 1}, source={"page_url": "https://x"}, spam_reasons=["a", "b"])],
        UTC_ZONE,
    )
    assert text.startswith(BOM)
    assert text.endswith("\r\n")
    (row,) = csv.DictReader(io.StringIO(text.removeprefix(BOM), newline=""))
    assert (row["consent"], row["extra"], row["page_url"], row["spam_reasons"], row["phone"]) == (
        "true", '{"a": 1}', "https://x", "a, b", "",
    )  # fmt: skip
    assert row["created_at_utc"] == "2024-01-03T00:00:00Z"


def test_regression_times_are_in_the_viewers_zone() -> None:
    (row,) = csv.reader(io.StringIO(lines([lead()], ZoneInfo("Asia/Kolkata")), newline=""))
    cells = dict(zip(COLUMNS, row, strict=True))
    assert (cells["created_at"], cells["created_at_utc"]) == (
        "2024-01-03T05:30:00+05:30",
        "2024-01-03T00:00:00Z",
    )


@given(st.text())
def test_no_cell_begins_with_a_formula_or_loses_a_character(typed: str) -> None:
    line = lines([lead(message=typed)], UTC_ZONE)
    (row,) = csv.reader(io.StringIO(line, newline=""))
    cell = row[COLUMNS.index("message")]
    is_phone_number = re.fullmatch(r"\+[0-9 ()./-]+", cell)
    assert is_phone_number or not cell.lstrip(' "').startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.replace("'", "") == typed.replace("'", "")


def test_the_columns_are_chosen_and_a_program_gets_no_byte_order_mark() -> None:
    text = header(["phone", "name"], bom=False) + csv_export.lines(
        [lead(name="Ada", phone="+442079460958")], ["phone", "name"], UTC_ZONE
    )
    assert text == '"phone","name"\r\n"+442079460958","Ada"\r\n'
