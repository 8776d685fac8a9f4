"""Reads a submission of any shape, so that no lead is refused because a program filled a field wrongly.

`LeadSubmission` validates well-formed submissions. This module reads all others. A number becomes text, and
the elements of a list are joined into one text. A value that does not fit its field is stored as text in
`extra`, under the field's name. No I/O.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, NoReturn

from pydantic import TypeAdapter, ValidationError

from contracts.field_types import (
    CONSENT_TEXT_MAX,
    KEY_MAX,
    LINE_MAX,
    IdempotencyKey,
    to_storable_json,
    unique_name,
)
from contracts.leads import LeadSubmission, Unreadable, is_answerable
from contracts.loose_values import (
    as_text,
    decode_json,
    is_present,
    load_object,
    parse_int,
    read_consent,
    read_email,
    read_message,
    read_name,
    read_nothing,
    read_or_keep,
    read_text,
    read_time,
)
from contracts.text import is_blank, to_line, to_text, truncate
from contracts.visit import Meta, Source

_KEY: Final = TypeAdapter[str](IdempotencyKey)
_DIGEST: Final = "sha256-"


class NotJsonError(ValueError):
    """The body is not valid JSON, or is nested too deeply."""


def parse_submission_json(body: bytes) -> LeadSubmission:
    """Parse the JSON text of a submission.

    The bytes are first validated directly, which is fast. If that fails, the values are read one by one.
    Raises `NotJsonError` if the text is not valid JSON. Also raises the errors of `read_submission`.
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
        text = decode_json(body)
        return json.loads(text, strict=False, parse_constant=_refuse_constant, parse_int=parse_int)
    except (ValueError, RecursionError):
        raise NotJsonError from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def read_submission(fields: Any) -> LeadSubmission:
    """Convert a JSON object of any shape to a submission.

    Raises `ValidationError` in four cases: `fields` is no object, the message is too long, the lead has no
    content, or it has neither a valid email nor a phone. Raises `NotJsonError` if the object is nested too
    deeply.
    """
    if not isinstance(fields, Mapping):
        return LeadSubmission.model_validate(fields)
    try:
        reader = _Reader(fields)
        return LeadSubmission.model_validate(reader.read(), context=reader.unreadable)
    except RecursionError:
        raise NotJsonError from None


def read_key(value: str) -> str | None:
    """Return a client's idempotency key in its normal form, or None for a blank text.

    The quotes of an RFC 8941 string are removed. A key that is too long, or not printable ASCII, is replaced
    by its digest. So the lead is accepted, and a repeated submission still has the same key.
    """
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace(r"\"", '"').replace(r"\\", "\\")
    if is_blank(text):
        return None
    if text.isascii() and text.isprintable() and len(text) <= KEY_MAX:
        return text.strip()  # what the validator would return, in a tenth of the time
    try:
        return _KEY.validate_python(text)
    except ValidationError:
        return _DIGEST + sha256(text.encode(errors="replace")).hexdigest()


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
        values["message"] = self._visitor("message", read_message) or ""
        values["email"] = self._email(answerable=is_answerable(values["phone"]))
        values["consent"] = self._machine("consent", read_consent)
        values["locale"] = self._machine("locale", read_text)
        values["submitted_at"] = self._machine("submitted_at", read_time)
        values["request_id"] = self._request_id()
        values["source"] = self._object("source", self._source)
        values["meta"] = self._object("meta", self._meta)
        return values

    def _visitor(self, name: str, read: Callable[[Any], Any]) -> Any:
        return read_or_keep(self.unreadable.of_visitor, name, self._fields.get(name), read)

    def _machine(self, name: str, read: Callable[[Any], Any]) -> Any:
        return read_or_keep(self.unreadable.of_machine, name, self._fields.get(name), read)

    def _line(self, name: str) -> str | None:
        text = self._visitor(name, read_name if name == "name" else read_text)
        if text is None:
            return None
        line = to_line(text)
        if len(line) > LINE_MAX:
            self.unreadable.of_visitor[name] = to_text(text)
        return truncate(line, LINE_MAX)

    def _email(self, *, answerable: bool) -> str | None:
        """Return the first valid email address, or None.

        If there is none, the text is kept as an unreadable value, so that a lead with a phone is accepted. If
        the lead is not `answerable` (has no phone), the invalid text is returned, and the model reports the
        error.
        """
        value = self._fields.get("email")
        for candidate in value if isinstance(value, list) else [value]:
            if isinstance(candidate, str) and (address := read_email(candidate)):
                if isinstance(value, list) and len(value) > 1:
                    self.unreadable.of_visitor["email"] = as_text(value)
                return address
        text: str | None = self._visitor("email", read_text)
        if text is None or not answerable:
            return text  # the model names the error
        self.unreadable.of_visitor["email"] = to_text(text)
        return None

    def _request_id(self) -> str | None:
        read: Callable[[Any], Any] = read_text
        # `true` says that there is an id, and not which: leads with it as their key would be one lead.
        if isinstance(self._fields.get("request_id"), bool):
            read = read_nothing
        text = self._machine("request_id", read)
        key = read_key(text) if text else None
        if text and key and key.startswith(_DIGEST):
            self.unreadable.of_machine["request_id"] = text
        return key

    def _object(self, name: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Any:
        value = self._fields.get(name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = load_object(value)  # encoded twice
        if isinstance(value, Mapping):
            return read(value)
        self._machine(name, read_nothing)
        return None

    def _source(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in fields.items():
            if name in Source.model_fields:
                values[name] = read_or_keep(self.unreadable.of_machine, f"source.{name}", value, read_text)
            elif is_present(value):
                values[unique_name(to_text(name), values)] = to_storable_json(value)
        return values

    def _meta(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: to_storable_json(fields.get(name)) for name in Meta.model_fields}
        for name, limit in (("consent_text", CONSENT_TEXT_MAX), ("consent_version", LINE_MAX)):
            kept = f"meta.{name}"
            text = read_or_keep(self.unreadable.of_machine, kept, fields.get(name), read_text)
            if text is not None and len(text := to_text(text).strip()) > limit:
                self.unreadable.of_machine[kept] = text
                text = truncate(text, limit)
            values[name] = text
        return values
