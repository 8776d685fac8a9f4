"""Writes leads as an Excel file, in parts. Each part can be sent before the next is made.

So no complete copy of the file is in memory or on disk. XlsxWriter alone cannot do this: it stores all rows
in a temporary file until it closes the workbook. Here, XlsxWriter writes each part of the rows as a separate
workbook. This module copies the rows of all these workbooks into one sheet (docs/decisions/0035).
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Self
from zipfile import ZIP_DEFLATED, ZipFile
from zoneinfo import ZoneInfo

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from services.admin.rules import excel_cells
from services.admin.schemas.export_columns import COLUMNS
from services.admin.texts import DEFAULT_VIEWER, Viewer, viewed_by

# A sheet has 1,048,576 rows (Excel specifications and limits), and the first is the header.
MAX_LEADS: Final = 1_048_575
_SHEET: Final = "xl/worksheets/sheet1.xml"
# It has the range of the filter, so it is written when the number of rows is known.
_WORKBOOK: Final = "xl/workbook.xml"
_END: Final = b"</sheetData>"
_FORMATS: Final = {
    "time": {"num_format": "yyyy-mm-dd hh:mm"},
    "utc": {"num_format": "yyyy-mm-dd hh:mm"},
    "phone": {"num_format": "@"},
}
# Writes each text into its cell, not into a table of all texts that only the whole workbook has.
_OPTIONS: Final = {"constant_memory": True}


class ExcelFile:
    """One Excel file. Call `add` for each part, then `end`, and send the returned bytes in this order.

    The time of a call is proportional to the number of its rows, so make the calls in a thread. As a context
    manager, the object discards a file that is not finished.
    """

    def __init__(self, columns: Sequence[str], zone: ZoneInfo, viewer: Viewer = DEFAULT_VIEWER) -> None:
        """Begin a file whose headings, statuses and reasons are in the language of `viewer`."""
        self._viewer = viewer
        self._columns = columns
        self._kinds = [COLUMNS[column].kind for column in columns]
        self._zone = zone
        self._rows = 0
        self._output = _Output()
        self._zip = ZipFile(self._output, "w", ZIP_DEFLATED)
        with self._workbook() as template:
            for name in template.namelist():
                if name not in (_SHEET, _WORKBOOK):
                    self._zip.writestr(name, template.read(name))
            start = template.read(_SHEET).partition(_END)[0]
        self._sheet = self._zip.open(_SHEET, "w")
        # Drop the dimension, which is that of the template. It is optional.
        self._sheet.write(re.sub(rb"<dimension [^>]*/>", b"", start, count=1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sheet.close()
        self._zip.close()

    def add(self, leads: Sequence[Mapping[str, Any]]) -> bytes:
        """Add these leads as rows. Return the next bytes of the file; there may be none yet."""
        with self._workbook(leads) as part:
            self._sheet.write(part.read(_SHEET).partition(b"</row>")[2].partition(_END)[0])
        self._rows += len(leads)
        return self._output.take()

    def end(self) -> bytes:
        """Finish the file. Return its last bytes."""
        with self._workbook() as template:
            self._sheet.write(_END + template.read(_SHEET).partition(_END)[2])
            self._sheet.close()
            self._zip.writestr(_WORKBOOK, template.read(_WORKBOOK))
        self._zip.close()
        return self._output.take()

    def _workbook(self, leads: Iterable[Mapping[str, Any]] = ()) -> ZipFile:
        """Return a workbook with the header and these leads, numbered after the rows already written.

        XlsxWriter numbers the formats in the order of their use. Each cell, even an empty one, uses the
        format of its column, so all workbooks have the same numbers.
        """
        buffer = io.BytesIO()
        with viewed_by(self._viewer), Workbook(buffer, _OPTIONS) as workbook:
            sheet = workbook.add_worksheet("Leads")
            bold = workbook.add_format({"bold": True})
            formats = [
                workbook.add_format(_FORMATS[kind]) if kind in _FORMATS else None for kind in self._kinds
            ]
            for index, column in enumerate(self._columns):
                sheet.set_column(index, index, COLUMNS[column].width, formats[index])
                sheet.write_string(0, index, excel_cells.heading(column, self._zone), bold)
            sheet.freeze_panes(1, 0)
            sheet.autofilter(0, 0, self._rows, len(self._columns) - 1)
            # Do not let Excel mark a phone number as a number that is stored as text.
            sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
            for number, lead in enumerate(leads, self._rows + 1):
                for index, column in enumerate(self._columns):
                    _write(sheet, number, index, excel_cells.cell(lead, column, self._zone), formats[index])
        return ZipFile(buffer)


def _write(
    sheet: Worksheet, row: int, column: int, value: excel_cells.Cell, cell_format: Format | None
) -> None:
    match value:
        case None:
            sheet.write_blank(row, column, None, cell_format)
        case bool():
            sheet.write_boolean(row, column, value, cell_format)
        case datetime():
            sheet.write_datetime(row, column, value, cell_format)
        case int() | float():
            sheet.write_number(row, column, value, cell_format)
        case _:
            # XlsxWriter takes such a text for its own markup and would not escape it.
            is_markup = value.startswith("<r>") and value.endswith("</r>")
            sheet.write_string(row, column, value + " " if is_markup else value, cell_format)


class _Output(io.RawIOBase):
    """Collects what ZipFile writes. It cannot seek, so ZipFile writes each size after its data."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
