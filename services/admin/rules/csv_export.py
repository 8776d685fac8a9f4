"""Leads as CSV that is safe to open in a spreadsheet. Pure: rows in, text out."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

# Excel takes the file for UTF-8 only where it begins with this.
BOM: Final = "\ufeff"
COLUMNS: Final = (
    "id", "created_at_utc", "status", "service", "name", "email", "phone", "company", "message", "assignee",
    "notes", "consent", "consent_version", "locale", "submitted_at", "page_url", "referrer", "utm_source",
    "utm_medium", "utm_campaign", "utm_term", "utm_content", "spam_reasons", "extra", "site", "request_id",
)  # fmt: skip
# What begins so may be run as a formula (OWASP, CSV injection; the wide forms are read alike): at a cell's
# beginning, behind blanks and quotes, and, in a spreadsheet that separates by another sign than a comma or
# does not know our quotes, behind a separator or a line's end within our cell. What stands before the sign is
# looked at once and as a whole, however long it is.
_FORMULA: Final = re.compile(r"""(?<![\s"';|])[\s"';|]*+(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")
_SEPARATORS: Final = ";|\t\r\n"


def header() -> str:
    """Return the first line."""
    return BOM + _line(COLUMNS)


def lines(leads: Iterable[Mapping[str, Any]]) -> str:
    """Return a line for each lead."""
    return "".join(_line([_cell(lead, column) for column in COLUMNS]) for lead in leads)


def harmless(text: str) -> str:
    """Put an apostrophe where a spreadsheet would begin a formula: it then shows the text."""
    guarded = _FORMULA.sub(_guarded, text)
    return "'" + guarded if guarded.startswith(("\t", "\r")) else guarded


def _guarded(before: re.Match[str]) -> str:
    """Put the apostrophe behind the last separator, or at the cell's beginning; elsewhere nothing begins."""
    blanks = before[0]
    place = max(map(blanks.rfind, _SEPARATORS)) + 1
    return blanks[:place] + "'" + blanks[place:] if place or before.start() == 0 else blanks


def _cell(lead: Mapping[str, Any], column: str) -> str:
    if column in ("page_url", "referrer") or column.startswith("utm_"):
        value = (lead["source"] or {}).get(column)
    else:
        value = lead[column]
    if value is None or value == {}:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(
        [harmless(cell) for cell in cells]
    )
    return buffer.getvalue()
