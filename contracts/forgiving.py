"""Reads a submission of any shape: what a website's program writes wrongly must not cost a lead.

Well-formed submissions take `LeadSubmission` alone. All others are read here: numbers become text, lists are
joined, and what does not fit its field is kept as text in `extra`, under the field's name. Pure.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, NoReturn

from pydantic import JsonValue, TypeAdapter, ValidationError

from contracts.email import Email
from contracts.field_types import (
    CONSENT_TEXT_MAX,
    LINE_MAX,
    IdempotencyKey,
    to_storable_json,
    unique_name,
)
from contracts.leads import LeadSubmission, Unreadable, is_answerable
from contracts.text import is_blank, to_line, to_text, truncate, with_lf, without_invisible
from contracts.times import parse_time
from contracts.visit import Meta, Source

_EMAIL: Final = TypeAdapter[str](Email)
_KEY: Final = TypeAdapter[str](IdempotencyKey)
_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on", "checked", "accepted", "agreed", "granted"})
_DIGEST: Final = "sha256-"
_FALSE: Final = frozenset({"0", "false", "f", "no", "n", "off", "unchecked", "declined", "denied", "null"})
# Longer integers raise ValueError in Python (sys.set_int_max_str_digits), so they are kept as text.
_INT_MAX_DIGITS: Final = 4000


class NotJsonError(ValueError):
    """The body is no JSON object."""


def parse_submission_json(body: bytes) -> LeadSubmission:
    """Return the submission in a JSON text.

    Raises `NotJsonError`, and `ValidationError` as `read_submission`. The usual lead is validated from the
    bytes. Only if that fails are its values read one by one.
    """
    # pydantic accepts NaN and Infinity, which JSON does not know.
    if b"NaN" in body or b"Infinity" in body:
        return read_submission(_load_json(body))
    try:
        return LeadSubmission.model_validate_json(body)
    except ValidationError:
        return read_submission(_load_json(body))


def _load_json(body: bytes) -> Any:
    try:
        # Not strict: templates of form builders put line breaks into texts unescaped.
        return json.loads(body.decode(), strict=False, parse_constant=_refuse_constant, parse_int=_parse_int)
    except (ValueError, RecursionError):
        raise NotJsonError from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _parse_int(digits: str) -> int | str:
    return digits if len(digits) > _INT_MAX_DIGITS else int(digits)


def read_submission(fields: Any) -> LeadSubmission:
    """Return the submission in a JSON object of any shape.

    Raises `ValidationError` for a value that is no object, for a message that is too long, and for a lead
    without a way to answer it or without content. Raises `NotJsonError` if the object is nested too deeply.
    """
    if not isinstance(fields, Mapping):
        return LeadSubmission.model_validate(fields)
    try:
        reader = _Reader(fields)
        return LeadSubmission.model_validate(reader.read(), context=reader.unreadable)
    except RecursionError:
        raise NotJsonError from None


def read_key(value: str) -> str | None:
    """Return an idempotency key: without the quotes of an RFC 8941 string, None for a blank text.

    A key that is too long or not in ASCII becomes its digest, so that it costs no lead and is still a key.
    """
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace(r"\"", '"').replace(r"\\", "\\")
    if is_blank(text):
        return None
    try:
        return _KEY.validate_python(text)
    except ValidationError:
        return _DIGEST + sha256(text.encode(errors="replace")).hexdigest()


class _UnreadableError(Exception):
    """A value does not fit its field."""


class _Reader:
    """Reads the fields of one submission. Collects what does not fit in `unreadable`."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self.unreadable = Unreadable({}, {})

    def read(self) -> dict[str, Any]:
        """Return the values that fit their fields, and the unknown fields."""
        values: dict[str, Any] = {}
        for name, value in self._fields.items():
            if name not in LeadSubmission.model_fields:
                values[unique_name(to_text(name), values)] = to_storable_json(value)
        for name in ("name", "service", "phone", "company"):
            values[name] = self._line(name)
        values["message"] = self._visitor("message", _read_message) or ""
        values["email"] = self._email(answerable=is_answerable(values["phone"]))
        values["consent"] = self._machine("consent", _read_consent)
        values["locale"] = self._machine("locale", _read_text)
        values["submitted_at"] = self._machine("submitted_at", _read_time)
        values["request_id"] = self._request_id()
        values["source"] = self._object("source", self._source)
        values["meta"] = self._object("meta", self._meta)
        return values

    def _visitor(self, name: str, read: Callable[[Any], Any]) -> Any:
        return _read_or_keep(self.unreadable.of_visitor, name, self._fields.get(name), read)

    def _machine(self, name: str, read: Callable[[Any], Any]) -> Any:
        return _read_or_keep(self.unreadable.of_machine, name, self._fields.get(name), read)

    def _line(self, name: str) -> str | None:
        text = self._visitor(name, _read_name if name == "name" else _read_text)
        if text is None:
            return None
        line = to_line(text)
        if len(line) > LINE_MAX:
            self.unreadable.of_visitor[name] = to_text(text)
        return truncate(line, LINE_MAX)

    def _email(self, *, answerable: bool) -> str | None:
        """Return the first valid address. Without one, keep the text, or return it if no phone is given."""
        value = self._fields.get("email")
        for candidate in value if isinstance(value, list) else [value]:
            if isinstance(candidate, str) and (address := _read_email(candidate)):
                if isinstance(value, list) and len(value) > 1:
                    self.unreadable.of_visitor["email"] = _as_text(value)
                return address
        text: str | None = self._visitor("email", _read_text)
        if text is None or not answerable:
            return text  # the model names the error
        self.unreadable.of_visitor["email"] = to_text(text)
        return None

    def _request_id(self) -> str | None:
        text = self._machine("request_id", _read_text)
        key = read_key(text) if text else None
        if text and key and key.startswith(_DIGEST):
            self.unreadable.of_machine["request_id"] = text
        return key

    def _object(self, name: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Any:
        value = self._fields.get(name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = _load_object(value)  # encoded twice
        if isinstance(value, Mapping):
            return read(value)
        self._machine(name, _read_nothing)
        return None

    def _source(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in fields.items():
            if name in Source.model_fields:
                values[name] = _read_or_keep(self.unreadable.of_machine, f"source.{name}", value, _read_text)
            elif _is_present(value):
                values[unique_name(to_text(name), values)] = to_storable_json(value)
        return values

    def _meta(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: to_storable_json(fields.get(name)) for name in Meta.model_fields}
        for name, limit in (("consent_text", CONSENT_TEXT_MAX), ("consent_version", LINE_MAX)):
            kept = f"meta.{name}"
            text = _read_or_keep(self.unreadable.of_machine, kept, fields.get(name), _read_text)
            if text is not None and len(text := to_text(text).strip()) > limit:
                self.unreadable.of_machine[kept] = text
                text = truncate(text, limit)
            values[name] = text
        return values


def _read_or_keep(kept: dict[str, JsonValue], name: str, value: Any, read: Callable[[Any], Any]) -> Any:
    """Return what `read` returns. If it raises `_UnreadableError`, keep the value as text and return None."""
    if not _is_present(value):
        return None
    try:
        return read(value)
    except _UnreadableError:
        kept[name] = _as_text(value)
        return None


def _is_present(value: Any) -> bool:
    """Return False for null, a blank text, an empty object, and a list of nothing else."""
    if isinstance(value, str):
        return not is_blank(value)
    if isinstance(value, list):
        return any(_is_present(each) for each in value)
    return value is not None and value != {}


def _as_text(value: Any) -> str:
    return to_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _read_nothing(_: Any) -> NoReturn:
    raise _UnreadableError


def _read_text(value: Any, separator: str = ", ") -> str | None:
    """Return a text; None for a list without a present element. Raises `_UnreadableError` for an object."""
    if isinstance(value, str):
        return to_text(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, list):
        raise _UnreadableError
    texts = [text for each in value if _is_present(each) and (text := _read_text(each, separator))]
    return separator.join(texts) or None


def _read_name(value: Any) -> str | None:
    # Such as {"first": "Ada", "last": "Lovelace"}.
    return _read_text(list(value.values()), " ") if isinstance(value, Mapping) else _read_text(value)


def _read_message(value: Any) -> str | None:
    text = _read_text(value, "\n")
    return None if text is None or is_blank(text) else with_lf(text)


def _read_email(value: str) -> str | None:
    for candidate in (to_line(value), without_invisible(value)):
        try:
            address: str = _EMAIL.validate_python(candidate)
        except ValidationError:
            continue
        return address
    return None


def _read_consent(value: Any) -> bool | None:
    text = _read_text(value)
    word = (text or "").strip().casefold()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise _UnreadableError


def _read_time(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if (time := parse_time(value)) is None:
        raise _UnreadableError
    return time


def _load_object(text: str) -> Any:
    try:
        return json.loads(text, strict=False, parse_int=_parse_int)
    except (ValueError, RecursionError):
        return text
