"""Reads the body of a form: urlencoded, multipart or JSON. The contents of files are discarded."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from pydantic import JsonValue
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from contracts.loose_values import decode_json, parse_int
from runtime.http.problem_details import Problem, ProblemError
from services.ingest.problems import TOO_LARGE, UNSUPPORTED_MEDIA_TYPE
from services.ingest.request import LeadRequest

if TYPE_CHECKING:  # it exists in the type stubs only
    from python_multipart.multipart import MultipartCallbacks

TEXT_MAX_BYTES: Final = 256 * 1024
"""The limit of all names and texts together. Files do not count."""
FIELDS_MAX: Final = 2000
URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
# A page in another encoding says so in this field (HTML standard, 4.10.21.5), if the form has it.
_CHARSET_FIELD: Final = "_charset_"
# The encoding of pages that do not declare one, and a superset of Latin-1.
_FALLBACK_ENCODING: Final = "cp1252"
# RFC 8187, as in filename*=UTF-8''%E2%82%AC.txt, which the parser leaves out.
_ENCODED_FILE_NAME: Final = re.compile(rb"filename\*=[^'\s]*'[^'\s]*'([^;\s]*)", re.IGNORECASE)
FORM_UNREADABLE: Final = Problem.build(
    400, "The body is not what its Content-Type says. Send a form or one JSON object.", code="not-a-form"
)
UNSUPPORTED_FORM: Final = Problem.build(
    UNSUPPORTED_MEDIA_TYPE.status,
    "Send the form as application/x-www-form-urlencoded, multipart/form-data or application/json.",
)


class FormBody(NamedTuple):
    """The fields of a form in their order, and the field name and file name of each chosen file.

    The value of a field that occurs several times is a list of texts. In a JSON body, a value may have any
    JSON type.
    """

    fields: dict[str, JsonValue]
    files: tuple[tuple[str, str], ...] = ()


NO_FORM: Final = FormBody({})
"""The form of a request that has not been read."""


async def read_form(request: LeadRequest) -> FormBody:
    """Return the form in the request's body.

    Raises `ProblemError` if the body is too large, too slow, compressed (`Content-Encoding`), unreadable, or
    neither a form nor JSON.
    """
    media_type = request.media_type()
    if media_type == MULTIPART:
        return await _read_multipart(request)
    text = b"".join([chunk async for chunk in request.chunks(TEXT_MAX_BYTES)])
    is_object = text.lstrip().startswith(b"{")
    if media_type.endswith(("/json", "+json")) or (media_type in ("", "text/plain") and is_object):
        return _read_json(text)
    if media_type in ("", URLENCODED):
        return _read_urlencoded(text)
    raise ProblemError(UNSUPPORTED_FORM)


def _read_json(text: bytes) -> FormBody:
    try:
        # Not strict: templates put line breaks into texts unescaped.
        fields = json.loads(decode_json(text), strict=False, parse_int=parse_int)
    except (ValueError, RecursionError):
        raise ProblemError(FORM_UNREADABLE) from None
    if not isinstance(fields, dict):
        raise ProblemError(FORM_UNREADABLE)
    return FormBody(fields)


def _read_urlencoded(text: bytes) -> FormBody:
    # Latin-1 maps each byte to one character, so that the bytes can be decoded once the encoding is known.
    try:
        pairs = parse_qsl(
            text.decode("latin-1"),
            keep_blank_values=True,
            encoding="latin-1",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError:
        raise ProblemError(TOO_LARGE) from None
    return FormBody(_group([(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]))


async def _read_multipart(request: LeadRequest) -> FormBody:
    _, options = parse_options_header(request.header(b"content-type"))
    parts = _Parts()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), parts.callbacks())
        async for chunk in request.chunks(None):
            parser.write(chunk)
        parser.finalize()
        parts.finish()
    except (FormParserError, ValueError):
        raise ProblemError(FORM_UNREADABLE) from None
    fields = _group(parts.fields)
    return FormBody(fields, tuple(parts.file_names(_encoding_of(parts.fields))))


class _Parts:
    """Collects the parts of a multipart body, without the contents of files."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self._files: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._header, self._value, self._disposition, self._data = b"", b"", b"", bytearray()
        self._name, self._is_file, self._has_value = b"", False, False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
        }

    def finish(self) -> None:
        """End a part that has no boundary after it: some programs leave out the last one."""
        if self._has_value:
            self._end_part()

    def file_names(self, encoding: str) -> Iterator[tuple[str, str]]:
        """Yield the field and the name of each file."""
        for field, name in self._files:
            yield _decode(field, encoding), _decode(name, encoding)

    def _begin_part(self) -> None:
        self._header, self._value, self._disposition, self._data = b"", b"", b"", bytearray()
        if len(self.fields) + len(self._files) >= FIELDS_MAX:
            raise ProblemError(TOO_LARGE)

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"")
        encoded = _ENCODED_FILE_NAME.search(self._disposition)
        file_name = options.get(b"filename", encoded and unquote_to_bytes(encoded[1]))
        self._is_file = file_name is not None
        if file_name:  # empty if no file was chosen
            self._files.append((self._name, file_name))
        self._count(len(self._name) + len(file_name or b""))
        self._has_value = True

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._count(end - start)
            self._data += data[start:end]

    def _end_part(self) -> None:
        self._has_value = False
        if not self._is_file:
            self.fields.append((self._name, bytes(self._data)))

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > TEXT_MAX_BYTES:
            raise ProblemError(TOO_LARGE)


def _encoding_of(pairs: Iterable[tuple[bytes, bytes]]) -> str:
    return next((value.decode("latin-1") for name, value in pairs if name == _CHARSET_FIELD.encode()), "")


def _decode(value: bytes, encoding: str) -> str:
    for candidate in ("utf-8", encoding, _FALLBACK_ENCODING):
        try:
            return value.decode(candidate)
        except (UnicodeDecodeError, LookupError, ValueError):
            continue
    return value.decode("utf-8", errors="replace")


def _group(pairs: list[tuple[bytes, bytes]]) -> dict[str, JsonValue]:
    """Return the values by name. `interests[]` and `interests` are one name, as in PHP."""
    encoding = _encoding_of(pairs)
    grouped: dict[str, list[JsonValue]] = {}
    for name, value in pairs:
        field = _decode(name, encoding).removesuffix("[]")
        if field != _CHARSET_FIELD:
            grouped.setdefault(field, []).append(_decode(value, encoding))
    return {name: values[0] if len(values) == 1 else values for name, values in grouped.items()}
