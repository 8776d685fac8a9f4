"""Writes leads as CSV that is safe to open in a spreadsheet. No I/O."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.admin.rules.export_values import read_value, to_text

# Excel reads a CSV as UTF-8 only if it begins with a byte order mark. Programs may take it for a part of the
# first column's name.
BOM: Final = "\ufeff"
# A spreadsheet may run a cell as a formula if it begins with one of these signs or their full-width forms,
# also after blanks and quotes (OWASP, CSV injection). A spreadsheet with other settings may also split our
# cell at a separator or a line break, so a formula may begin there too. The possessive quantifier examines
# the characters before the sign once, so that a long run of blanks takes linear time.
_FORMULA: Final = re.compile(r"""(?<![\s"';|])[\s"';|]*+(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")
_SEPARATORS: Final = ";|\t\r\n"
# An international phone number (E.164, with the usual separators): at least six digits and no letter. It can
# call no function and refer to no cell, and an apostrophe would corrupt it for imports (docs/decisions/0032).
_PHONE_NUMBER: Final = re.compile(r"\+[0-9](?:[ ()./-]{0,3}[0-9]){5,17}")


def header(columns: Iterable[str], *, bom: bool) -> str:
    """Return the line with the names of the columns, after a byte order mark if `bom` is True."""
    return (BOM if bom else "") + _line(columns)


def lines(leads: Iterable[Mapping[str, Any]], columns: Sequence[str], zone: ZoneInfo) -> str:
    """Return one line of CSV per lead. `created_at` is in the local time of `zone`, with its UTC offset."""
    return "".join(_line([_cell(lead, column, zone) for column in columns]) for lead in leads)


def escape_formulas(text: str) -> str:
    """Insert an apostrophe before each possible formula, so that a spreadsheet shows it as text.

    A phone number is returned unchanged.
    """
    if _PHONE_NUMBER.fullmatch(text):
        return text
    escaped = _FORMULA.sub(_escape_match, text)
    return "'" + escaped if escaped.startswith(("\t", "\r")) else escaped


def _escape_match(match: re.Match[str]) -> str:
    """Return the matched characters, with an apostrophe inserted if a spreadsheet would begin a cell there.

    A cell can begin after a separator, or at the start of the text.
    """
    prefix = match[0]
    start = max(map(prefix.rfind, _SEPARATORS)) + 1
    return prefix[:start] + "'" + prefix[start:] if start or match.start() == 0 else prefix


def _cell(lead: Mapping[str, Any], column: str, zone: ZoneInfo) -> str:
    value = read_value(lead, column)
    if column == "created_at":
        local: datetime = value.astimezone(zone)
        return local.isoformat(timespec="seconds")
    return to_text(value)


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(
        [escape_formulas(cell) for cell in cells]
    )
    return buffer.getvalue()
