"""Converts a JSON value of any shape to the type of its field. No I/O.

If a value does not fit its field, the functions raise `UnreadableError`. Two functions return None instead:
`read_or_keep` and `read_email`.
"""

import codecs
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from pydantic import JsonValue, TypeAdapter, ValidationError

from contracts.email import Email
from contracts.text import is_blank, to_line, to_text, with_lf, without_invisible
from contracts.times import parse_time

_EMAIL: Final = TypeAdapter[str](Email)
_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on", "checked", "accepted", "agreed", "granted"})
_FALSE: Final = frozenset({"0", "false", "f", "no", "n", "off", "unchecked", "declined", "denied", "null"})
_WINDOWS_1252: Final = "fastcore.windows-1252"
# Longer integers raise ValueError in Python (sys.set_int_max_str_digits), so they are kept as text.
_INT_MAX_DIGITS: Final = 4000


class UnreadableError(Exception):
    """A value does not fit its field."""


def read_or_keep(kept: dict[str, JsonValue], name: str, value: Any, read: Callable[[Any], Any]) -> Any:
    """Return `read(value)`, or None if the value is empty (see `is_present`).

    If `read` raises `UnreadableError`, add the value as text to `kept` under `name`, and return None.
    """
    if not is_present(value):
        return None
    try:
        return read(value)
    except UnreadableError:
        kept[name] = as_text(value)
        return None


def is_present(value: Any) -> bool:
    """Return False for null, a blank text, an empty object, and a list of only such values."""
    if isinstance(value, str):
        return not is_blank(value)
    if isinstance(value, list):
        return any(is_present(each) for each in value)
    return value is not None and value != {}


def as_text(value: Any) -> str:
    """Return a string in NFC, or any other JSON value as its JSON text."""
    return to_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def read_nothing(_: Any) -> NoReturn:
    """Raise `UnreadableError` for every value.

    Called for a value that should be an object but is not, so that `read_or_keep` adds it to `kept`
    as text.
    """
    raise UnreadableError


def read_text(value: Any, separator: str = ", ") -> str | None:
    """Return a string, number or boolean as text. Join the elements of a list with `separator`.

    Returns None for a list in which every element is empty. Raises `UnreadableError` for an object.
    """
    if isinstance(value, str):
        return to_text(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, list):
        raise UnreadableError
    texts = [text for each in value if is_present(each) and (text := read_text(each, separator))]
    return separator.join(texts) or None


def read_name(value: Any) -> str | None:
    """Return a name. The parts of an object such as `{"first": "Ada", "last": "Lovelace"}` are joined."""
    return read_text(list(value.values()), " ") if isinstance(value, Mapping) else read_text(value)


def read_message(value: Any) -> str | None:
    """Return a text with LF as its only line end. Return None if it has no visible characters."""
    text = read_text(value, "\n")
    return None if text is None or is_blank(text) else with_lf(text)


def read_email(value: str) -> str | None:
    """Return the text as an email address, or None if it is not a valid one.

    If necessary, removes invisible characters from the text.
    """
    for candidate in (to_line(value), without_invisible(value)):
        try:
            address: str = _EMAIL.validate_python(candidate)
        except ValidationError:
            continue
        return address
    return None


def read_consent(value: Any) -> bool | None:
    """Return the boolean that a word or number means, such as `yes`, `on`, 1 or `no`."""
    text = read_text(value)
    word = (text or "").strip().casefold()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise UnreadableError


def read_time(value: Any) -> Any:
    """Return the time that a value contains, in UTC. A list with one element is read like the element."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if (time := parse_time(value)) is None:
        raise UnreadableError
    return time


def decode_json(body: bytes) -> str:
    """Return a JSON text that a program may have encoded wrongly.

    JSON is UTF-8 without a byte order mark. Also reads UTF-16, UTF-32, byte order marks, and surrogates that
    were encoded one by one. Bytes that are not UTF-8 are read as Windows-1252: a program with Latin-1 texts,
    or one that cut a text inside a character, must not lose a lead.
    """
    encoding = json.detect_encoding(body)
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        pass
    try:
        pairs = body.decode(encoding, "surrogatepass").encode("utf-16-le", "surrogatepass")
        return pairs.decode("utf-16-le", "replace")
    except UnicodeDecodeError:
        return body.decode("utf-8-sig", _WINDOWS_1252)


def _decode_as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(_WINDOWS_1252, _decode_as_windows_1252)


def load_object(text: str) -> Any:
    """Parse a JSON text and return its value. Return the text itself if it is not valid JSON."""
    try:
        return json.loads(text, strict=False, parse_int=parse_int)
    except (ValueError, RecursionError):
        return text


def parse_int(digits: str) -> int | str:
    """Return the integer that the digits mean.

    Return the digits unchanged if there are too many for Python's `int`.
    """
    return digits if len(digits) > _INT_MAX_DIGITS else int(digits)
