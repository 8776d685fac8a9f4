"""The contents of the cells of an Excel file: texts for people, and times that Excel can sort. No I/O."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.admin.rules.export_values import read_value, to_text
from services.admin.rules.lead_rules import STATUS_NAMES
from services.admin.rules.reasons import spam_word
from services.admin.schemas.export_columns import COLUMNS
from services.admin.texts import gettext, gettext_noop

Cell = str | bool | int | float | datetime | None
# A cell takes 32,767 characters (Excel specifications and limits), counted in UTF-16 units: an emoji is two.
CELL_MAX_UNITS: Final = 32_767
SHORTENED: Final = gettext_noop(" … [shortened: the lead's page has the whole text]")
_UTC: Final = ZoneInfo("UTC")


def heading(column: str, zone: ZoneInfo) -> str:
    """Return the heading of a column.

    The heading of a column of times contains the zone, because times in Excel have no zone.
    """
    known = COLUMNS[column]
    label, zones = gettext(known.label), {"time": zone.key, "utc": "UTC"}
    if known.kind not in zones:
        return label
    return gettext("%(column)s (%(zone)s)", column=label, zone=zones[known.kind])


def cell(lead: Mapping[str, Any], column: str, zone: ZoneInfo) -> Cell:
    """Return the content of the cell for a lead and a column, or None for an empty cell.

    A time is converted to `zone`, or to UTC if the column's kind is `utc`. It is returned as a datetime
    without a time zone. A time before 1900 is returned as text, because Excel cannot store it.
    """
    value = read_value(lead, column)
    if isinstance(value, datetime):
        return _local_time(value, zone if COLUMNS[column].kind == "time" else _UTC)
    if isinstance(value, bool | int | float):
        return value
    if column == "status":
        value = gettext(STATUS_NAMES[value]) if value in STATUS_NAMES else value
    elif column == "spam_reasons":
        value = [spam_word(reason) for reason in value or ()]
    elif isinstance(value, dict):
        value = "\n".join(f"{name}: {to_text(each)}" for name, each in value.items())
    return shorten(to_text(value).replace("\r\n", "\n").replace("\r", "\n")) or None


def shorten(text: str) -> str:
    """Return a text that fits into a cell. A text that is too long is cut, with a note at its end."""
    if len(text) <= CELL_MAX_UNITS // 2:
        return text
    units = text.encode("utf-16-le")
    if len(units) <= CELL_MAX_UNITS * 2:
        return text
    note = gettext(SHORTENED)
    kept = units[: CELL_MAX_UNITS * 2 - len(note.encode("utf-16-le"))]
    # Drops the first half of a character whose second half is cut off.
    return kept.decode("utf-16-le", errors="ignore") + note


def _local_time(value: datetime, zone: ZoneInfo) -> datetime | str:
    try:
        local = value.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return to_text(value)
    return local if local.year >= 1900 else to_text(value)
