"""The Excel file that is sent in parts is one valid workbook, whatever the texts contain."""

import io
import tempfile
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape
from openpyxl.worksheet.worksheet import Worksheet

from services.admin.schemas.export_columns import COLUMNS
from services.admin.store.leads.excel_file import ExcelFile

BERLIN = ZoneInfo("Europe/Berlin")


def lead(**changes: Any) -> dict[str, Any]:
    empty = dict.fromkeys(COLUMNS) | {"source": None, "extra": {}, "spam_reasons": [], "written_notes": None}
    return empty | {"created_at_utc": datetime(2024, 7, 1, 10, tzinfo=UTC)} | changes


def write(columns: Sequence[str], *parts: list[dict[str, Any]]) -> bytes:
    with ExcelFile(columns, BERLIN) as file:
        return b"".join([*(file.add(part) for part in parts), file.end()])


def sheet_of(content: bytes) -> Worksheet:
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    assert isinstance(sheet, Worksheet)
    return sheet


def test_parts_become_one_sheet_with_the_same_formats() -> None:
    first = [lead(phone=None), lead(phone="020")]
    content = write(["message", "phone", "created_at", "consent"], first, [], [lead(consent=True)])
    sheet = sheet_of(content)
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        ["Message", "Phone", "Received (Europe/Berlin)", "Consent"],
        [None, None, datetime(2024, 7, 1, 12), None],  # noqa: DTZ001 - Excel's times have no zone
        [None, "020", datetime(2024, 7, 1, 12), None],  # noqa: DTZ001
        [None, None, datetime(2024, 7, 1, 12), True],  # noqa: DTZ001
    ]
    for row in sheet.iter_rows(min_row=2):
        assert [cell.number_format for cell in row] == ["General", "@", "yyyy-mm-dd hh:mm", "General"]
    assert [cell.font.bold for cell in sheet["1"]] == [True] * 4
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:D4")
    assert sheet.column_dimensions["A"].width == pytest.approx(60, abs=1)


def test_the_parts_together_are_what_xlsxwriter_writes_in_one_piece() -> None:
    leads = [lead(phone=str(number), extra={"a": number}, consent=number % 2 == 0) for number in range(7)]
    with ExcelFile(list(COLUMNS), BERLIN)._workbook(leads) as whole:
        rows, styles = whole.read("xl/worksheets/sheet1.xml"), whole.read("xl/styles.xml")
    parts = zipfile.ZipFile(io.BytesIO(write(list(COLUMNS), leads[:3], leads[3:4], leads[4:])))
    assert parts.read("xl/styles.xml") == styles
    start, end = b"<sheetData>", b"</sheetData>"
    sheet = parts.read("xl/worksheets/sheet1.xml")
    assert sheet.partition(start)[2].partition(end)[0] == rows.partition(start)[2].partition(end)[0]


def test_a_file_without_leads_has_the_headings() -> None:
    sheet = sheet_of(write(list(COLUMNS)))
    assert (sheet.max_row, sheet.max_column) == (1, len(COLUMNS))
    assert sheet.auto_filter.ref == "A1:AT1"


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+44 20 7946 0958",
        "007",
        "https://example.com",
        "{=A1}",
        "שלום \u202eworld",
        "\U0001f468\u200d\U0001f469 é",
        " two  blanks \n and a line ",
        "</t></is></c></row></sheetData>",
        "a\x00b\x0bc\x1fd\ufffe\uffff",
        "_x0041_",
    ],
)
def test_a_text_stays_text(text: str) -> None:
    cell = sheet_of(write(["message"], [lead(message=text)]))["A2"]
    assert cell.data_type == "s"
    assert unescape(str(cell.value)) == text
    assert cell.hyperlink is None


def test_regression_markup_of_xlsxwriter_is_text() -> None:
    cell = sheet_of(write(["message"], [lead(message="<r><t>a</r>")]))["A2"]
    assert str(cell.value).strip() == "<r><t>a</r>"


# XlsxWriter writes temporary files.
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_makes_a_valid_sheet(text: str) -> None:
    sheet_of(write(["message", "name"], [lead(message=text, name=f"<r>{text}</r>")]))


def test_a_file_that_is_not_finished_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ExcelFile(["message"], BERLIN) as file:
        file.add([lead(message="a")] * 10)
        assert not list(tmp_path.iterdir())


def test_bytes_are_sent_before_the_file_is_finished() -> None:
    with ExcelFile(["message"], BERLIN) as file:
        sent = file.add([lead(message=f"lead {number}") for number in range(5000)])
        assert len(sent) > 10_000
        assert len(file.add([])) == 0
        content = sent + file.end()
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
