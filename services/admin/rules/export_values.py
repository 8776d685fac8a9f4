"""Reads a lead's value for each column of an export. All file formats use these values."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from contracts.times import utc_text
from contracts.visit import Source

_SOURCE_FIELDS: Final = frozenset(Source.model_fields)


def read_value(lead: Mapping[str, Any], column: str) -> Any:
    """Return a lead's value for a column. `lead` is a row of the query `list_export`."""
    if column == "created_at":
        return lead["created_at_utc"]
    if column == "all_notes":
        return "\n".join(filter(None, (lead["written_notes"], lead["notes"])))
    source: Mapping[str, Any] = lead["source"] or {}
    if column == "source_other":
        return {name: each for name, each in source.items() if name not in _SOURCE_FIELDS}
    return source.get(column) if column in _SOURCE_FIELDS else lead[column]


def to_text(value: Any) -> str:
    """Return a value as text that programs can read.

    Times are in UTC, objects are JSON, and None is an empty text.
    """
    if value is None or value == {}:
        return ""
    if isinstance(value, datetime):
        return utc_text(value, "seconds")
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
