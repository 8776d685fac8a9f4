"""The size limit of a lead's unknown fields. Beyond it the longest are shortened; the lead is accepted."""

from bisect import bisect_right
from typing import Final

from pydantic import JsonValue
from pydantic_core import to_json

EXTRA_MAX_BYTES: Final = 64 * 1024
SHORTENED: Final = " [shortened]"
# Applied only beyond the limit, so that each field keeps at least 32 bytes for its value.
_NAME_MAX: Final = 200
_NAMES_MAX_BYTES: Final = EXTRA_MAX_BYTES // 2
_FIELDS_MAX: Final = 1000


def shorten_extra(extra: dict[str, JsonValue]) -> None:
    """Shorten the longest values in place, so that all fields take at most `EXTRA_MAX_BYTES` as JSON.

    A shortened value is text and ends with `SHORTENED`. Fields beyond 1,000, or whose names alone take half
    of the limit, are dropped; the field `[shortened]` says how many.
    """
    if not extra or len(to_json(extra)) <= EXTRA_MAX_BYTES:
        return
    dropped = _bound_names(extra)
    sizes = {name: len(to_json(value)) for name, value in extra.items()}
    names_bytes = len(to_json(dict.fromkeys(extra, 0)))
    limit = _value_limit(sorted(sizes.values()), EXTRA_MAX_BYTES - names_bytes - len(dropped) - 32)
    for name, size in sizes.items():
        if size > limit:
            extra[name] = _shorten(extra[name], limit)
    if dropped:
        extra[SHORTENED.strip()] = dropped


def _bound_names(extra: dict[str, JsonValue]) -> str:
    """Keep the first fields whose names fit; return what to say about the others."""
    fields, names_bytes = list(extra.items()), 0
    extra.clear()
    for position, (name, value) in enumerate(fields):
        # The position keeps two long names apart that begin alike.
        bounded = name if len(name) <= _NAME_MAX else f"{name[:_NAME_MAX]}{SHORTENED} {position}"
        names_bytes += len(to_json(bounded))
        if position == _FIELDS_MAX or names_bytes > _NAMES_MAX_BYTES:
            return f"{len(fields) - position} more fields were dropped"
        extra[bounded] = value
    return ""


def _value_limit(sizes: list[int], room: int) -> int:
    """Return the size that no value may exceed, so that all of them fit into `room`. `sizes` is sorted."""
    for position, size in enumerate(sizes):
        larger = len(sizes) - position
        if size * larger > room:
            return room // larger
        room -= size
    return EXTRA_MAX_BYTES


def _shorten(value: JsonValue, limit: int) -> str:
    text = value if isinstance(value, str) else to_json(value).decode()
    # By the size as JSON, which writes some characters as up to six bytes.
    length = bisect_right(range(len(text)), limit, key=lambda end: len(to_json(text[:end] + SHORTENED)))
    return text[: max(length - 1, 0)] + SHORTENED
