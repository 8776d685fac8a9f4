"""Field types for text and JSON that PostgreSQL can store.

PostgreSQL's text and jsonb hold neither NUL nor a lone surrogate, and neither survives UTF-8 JSON. They are
rejected here, because no later stage can process them. Pydantic checks the length of a text before its
characters.
"""

import math
import re
from typing import Annotated, Final

from pydantic import AfterValidator, JsonValue, StringConstraints

EXTRA_MAX_DEPTH: Final = 16
# Most JSON parsers read numbers as doubles: an integer with more bits becomes infinite.
_DOUBLE_BITS: Final = 1024
_CONTROL_CHARACTERS: Final = re.compile(r"[\x01-\x1f\x7f-\x9f]+")


def _check_text(value: str) -> str:
    if not value.isprintable():  # printable text contains neither NUL nor surrogates
        if "\x00" in value:
            raise ValueError("must not contain NUL characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            # `from None`, because the encoder's error contains the text.
            raise ValueError("must not contain lone surrogates") from None
    return value


def _check_and_strip(value: str) -> str:
    return _check_text(value).strip()


def _to_line(value: str) -> str:
    if value.isprintable():
        return value.strip()
    return _CONTROL_CHARACTERS.sub(" ", _check_text(value)).strip()


def _check_not_empty(value: str) -> str:
    # min_length does not detect a text that consists of control characters only.
    if not value:
        raise ValueError("must not be empty")
    return value


def _truncate_to(maximum: int) -> AfterValidator:
    # For values that a program fills in: a visitor cannot shorten a URL, so a long one must not cost the
    # lead.
    return AfterValidator(lambda value: _to_line(value)[:maximum])


def _check_finite(value: float) -> None:
    if isinstance(value, int):
        if value.bit_length() > _DOUBLE_BITS:
            raise ValueError("must not contain numbers beyond the range of a double")
    elif not math.isfinite(value):
        raise ValueError("must not contain NaN or infinite numbers")


def _check_json(value: JsonValue, depth: int = 1) -> JsonValue:
    """Raise `ValueError` for a value that JSON or jsonb cannot hold, at any depth."""
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int | float):
        _check_finite(value)
    elif value is not None:
        if depth > EXTRA_MAX_DEPTH:
            raise ValueError(f"must not be nested deeper than {EXTRA_MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key in value:
                _check_text(key)
        for item in value.values() if isinstance(value, dict) else value:
            _check_json(item, depth + 1)
    return value


Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_to_line)]
RequiredLine = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_to_line),
    AfterValidator(_check_not_empty),
]
Message = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000),
    AfterValidator(_check_and_strip),
    AfterValidator(_check_not_empty),
]
Note = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=10_000), AfterValidator(_check_and_strip)
]
ConsentText = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(_check_and_strip)
]
TruncatedLine = Annotated[str, _truncate_to(200)]
TruncatedUrl = Annotated[str, _truncate_to(2048)]
IdempotencyKey = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[\x20-\x7e]{1,255}$")]
FieldName = Annotated[str, AfterValidator(_check_text)]
StorableJson = Annotated[JsonValue, AfterValidator(_check_json)]
