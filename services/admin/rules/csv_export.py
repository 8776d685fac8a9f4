"""Writes leads as CSV that is safe to open in a spreadsheet. No I/O."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from contracts.visit import Source

# Excel reads a file as UTF-8 only if it begins with a byte order mark.
BOM: Final = "\ufeff"
COLUMNS: Final = (
    "id", "created_at_utc", "created_at", "status", "service", "name", "email", "phone", "company", "message",
    "assignee", "notes", "consent", "consent_version", "locale", "submitted_at", "page_url", "referrer",
    "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "spam_reasons", "extra", "site",
    "request_id", "utm_id", "gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "li_fat_id",
    "landing_page", "page_title", "source_other", "first_utm_source", "first_utm_medium",
    "first_utm_campaign", "first_utm_term", "first_utm_content", "first_utm_id", "first_referrer",
)  # fmt: skip
# A spreadsheet may run a cell as a formula if it begins with one of these signs or their full-width forms
# (OWASP, CSV injection), also after blanks and quotes. A spreadsheet with another separator, or without our
# quoting, may also begin a cell after a separator or a line break inside our cell. The possessive quantifier
# examines the characters before the sign once, so that a long run of blanks takes linear time.
_FORMULA: Final = re.compile(r"""(?<![\s"';|])[\s"';|]*+(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")
_SEPARATORS: Final = ";|\t\r\n"
# An international phone number (E.164, with the usual separators): at least six digits and no letter. It can
# call no function and refer to no cell, and an apostrophe would corrupt it for imports (docs/decisions/0032).
_PHONE_NUMBER: Final = re.compile(r"\+[0-9](?:[ ()./-]{0,3}[0-9]){5,17}")


def header() -> str:
    """Return the byte order mark and the line with the column names."""
    return BOM + _line(COLUMNS)


def lines(leads: Iterable[Mapping[str, Any]], zone: ZoneInfo) -> str:
    """Return one line of CSV per lead. `created_at` is the local time of the zone, with its UTC offset."""
    return "".join(_line([_cell(lead, column, zone) for column in COLUMNS]) for lead in leads)


def escape_formulas(text: str) -> str:
    """Insert an apostrophe before each possible formula, so that a spreadsheet shows it as text.

    Returns a phone number unchanged.
    """
    if _PHONE_NUMBER.fullmatch(text):
        return text
    escaped = _FORMULA.sub(_escape_match, text)
    return "'" + escaped if escaped.startswith(("\t", "\r")) else escaped


def _escape_match(match: re.Match[str]) -> str:
    """Return the matched characters with an apostrophe where a spreadsheet may begin a cell.

    A cell may begin after a separator or at the start of the text. Other matches are returned unchanged.
    """
    prefix = match[0]
    start = max(map(prefix.rfind, _SEPARATORS)) + 1
    return prefix[:start] + "'" + prefix[start:] if start or match.start() == 0 else prefix


def _cell(lead: Mapping[str, Any], column: str, zone: ZoneInfo) -> str:
    if column == "created_at":
        local: datetime = lead["created_at_utc"].astimezone(zone)
        return local.isoformat(timespec="seconds")
    source: Mapping[str, Any] = lead["source"] or {}
    value: Any
    if column == "source_other":
        value = {name: each for name, each in source.items() if name not in Source.model_fields}
    else:
        value = source.get(column) if column in Source.model_fields else lead[column]
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
        [escape_formulas(cell) for cell in cells]
    )
    return buffer.getvalue()
