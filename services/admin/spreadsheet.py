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
# A cell that begins so may be run as a formula (OWASP, CSV injection; the wide forms are read alike). It may
# begin behind blanks and quotes, and, in a spreadsheet that separates by another sign than a comma or does
# not know our quotes, behind a separator or a line's end within our cell.
_FORMULA: Final = re.compile(r"""(^|[;|\t\r\n])([\s"']*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r])""")


def header() -> str:
    """Return the first line."""
    return BOM + _line(COLUMNS)


def lines(leads: Iterable[Mapping[str, Any]]) -> str:
    """Return a line for each lead."""
    return "".join(_line([_cell(lead, column) for column in COLUMNS]) for lead in leads)


def harmless(text: str) -> str:
    """Put an apostrophe where a spreadsheet would begin a formula: it then shows the text."""
    return _FORMULA.sub(r"\1'\2", text)


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
