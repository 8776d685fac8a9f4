"""Limits the size of a lead's unknown fields: if they are too large, the longest values are shortened."""

from bisect import bisect_right
from typing import Final

from pydantic import JsonValue
from pydantic_core import to_json

EXTRA_MAX_BYTES: Final = 64 * 1024
SHORTENED: Final = " [shortened]"
# These limits apply only beyond the size limit. They leave at least 32 bytes for the value of each field.
_NAME_MAX: Final = 200
_NAMES_MAX_BYTES: Final = EXTRA_MAX_BYTES // 2
_FIELDS_MAX: Final = 1000


def shorten_extra(extra: dict[str, JsonValue]) -> None:
    """Shorten the longest values in place, so that all fields take at most `EXTRA_MAX_BYTES` as JSON.

    A shortened value becomes text that ends with `SHORTENED`. If there are more than 1,000 fields, or if the
    names alone take more than half of the limit, the last fields are dropped. The field `[shortened]` then
    says how many were dropped.
    """
    if not extra or len(to_json(extra)) <= EXTRA_MAX_BYTES:
        return
    dropped = _limit_names(extra)
    sizes = {name: len(to_json(value)) for name, value in extra.items()}
    names_bytes = len(to_json(dict.fromkeys(extra, 0)))
    limit = _value_limit(sorted(sizes.values()), EXTRA_MAX_BYTES - names_bytes - len(dropped) - 32)
    for name, size in sizes.items():
        if size > limit:
            extra[name] = _shorten(extra[name], limit)
    if dropped:
        extra[SHORTENED.strip()] = dropped


def _limit_names(extra: dict[str, JsonValue]) -> str:
    """Drop the last fields if there are too many, or if the names alone take half of the size limit.

    Returns a message with the number of dropped fields, or an empty text if none was dropped.
    """
    fields, names_bytes = list(extra.items()), 0
    extra.clear()
    for position, (name, value) in enumerate(fields):
        # The position distinguishes long names that start alike.
        bounded = name if len(name) <= _NAME_MAX else f"{name[:_NAME_MAX]}{SHORTENED} {position}"
        names_bytes += len(to_json(bounded))
        if position == _FIELDS_MAX or names_bytes > _NAMES_MAX_BYTES:
            return f"{len(fields) - position} more fields were dropped"
        extra[bounded] = value
    return ""


def _value_limit(sizes: list[int], room: int) -> int:
    """Return the largest size of a value with which all values fit into `room`. `sizes` is sorted."""
    for position, size in enumerate(sizes):
        larger = len(sizes) - position
        if size * larger > room:
            return room // larger
        room -= size
    return EXTRA_MAX_BYTES


def _shorten(value: JsonValue, limit: int) -> str:
    text = value if isinstance(value, str) else to_json(value).decode()
    # Measured as JSON, which encodes some characters in up to six bytes.
    length = bisect_right(range(len(text)), limit, key=lambda end: len(to_json(text[:end] + SHORTENED)))
    return text[: max(length - 1, 0)] + SHORTENED
