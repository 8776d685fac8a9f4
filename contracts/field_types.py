"""Field types for text and JSON that PostgreSQL can store.

PostgreSQL's text and jsonb cannot store NUL or a lone surrogate. So NUL is removed, and a lone surrogate is
replaced. Text is normalised by `contracts.text`. Pydantic checks the length of a text before it is
normalised.
"""

import json
import math
from collections.abc import Container
from itertools import count
from typing import Annotated, Final

from pydantic import AfterValidator, JsonValue, StringConstraints

from contracts.text import is_blank, to_line, to_text, truncate

LINE_MAX: Final = 200
KEY_MAX: Final = 255
MESSAGE_MAX: Final = 10_000
CONSENT_TEXT_MAX: Final = 2000
EXTRA_MAX_DEPTH: Final = 16
# Most JSON parsers read numbers as doubles: an integer with more bits becomes infinite.
_DOUBLE_BITS: Final = 1024


def _to_stripped_text(value: str) -> str:
    text = to_text(value).strip()
    # Skip the slow check for a text that begins with an ASCII letter or digit: such a text is visible.
    return "" if text and not (text.isascii() and text[0].isalnum()) and is_blank(text) else text


def _check_not_empty(value: str) -> str:
    # min_length does not detect a text that consists of control characters only.
    if not value:
        raise ValueError("must not be empty")
    return value


def _truncate_to(maximum: int) -> AfterValidator:
    # For values that a program fills in. A visitor cannot shorten a URL, so a long one must not prevent the
    # lead.
    return AfterValidator(lambda value: truncate(to_line(value), maximum))


def to_storable_json(value: JsonValue, depth: int = 1) -> JsonValue:
    """Return the value in a form that JSON and jsonb can hold. Text is normalised at every depth.

    Two kinds of value become text: numbers that a double cannot hold, and objects and lists below the 16th
    level of nesting.
    """
    if isinstance(value, str):
        return to_text(value)
    if isinstance(value, int | float):
        return value if _is_double(value) else str(value)
    if value is None:
        return None
    if depth > EXTRA_MAX_DEPTH:
        return to_text(json.dumps(value, ensure_ascii=False))
    if isinstance(value, list):
        return [to_storable_json(item, depth + 1) for item in value]
    kept: dict[str, JsonValue] = {}
    for name, item in value.items():
        kept[unique_name(to_text(name), kept)] = to_storable_json(item, depth + 1)
    return kept


def _is_double(value: float) -> bool:
    return value.bit_length() <= _DOUBLE_BITS if isinstance(value, int) else math.isfinite(value)


def unique_name(name: str, taken: Container[str]) -> str:
    """Return the name if it is not in `taken`. Otherwise append the first free number: `name (2)`."""
    if name not in taken:
        return name
    return next(other for number in count(2) if (other := f"{name} ({number})") not in taken)


def normalize_names(fields: dict[str, JsonValue]) -> None:
    """Normalise the names of fields in place.

    If two names become equal, a number is appended to the second.
    """
    for name in [each for each in fields if to_text(each) != each]:
        fields[unique_name(to_text(name), fields)] = fields.pop(name)


Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LINE_MAX), AfterValidator(to_line)]
RequiredLine = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LINE_MAX),
    AfterValidator(to_line),
    AfterValidator(_check_not_empty),
]
Message = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=MESSAGE_MAX),
    AfterValidator(_to_stripped_text),
]
Note = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=10_000),
    AfterValidator(_to_stripped_text),
]
RequiredNote = Annotated[Note, AfterValidator(_check_not_empty)]
ConsentText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=CONSENT_TEXT_MAX),
    AfterValidator(_to_stripped_text),
]
TruncatedLine = Annotated[str, _truncate_to(LINE_MAX)]
TruncatedUrl = Annotated[str, _truncate_to(2048)]
IdempotencyKey = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=rf"^[\x20-\x7e]{{1,{KEY_MAX}}}$")
]
StorableJson = Annotated[JsonValue, AfterValidator(to_storable_json)]
