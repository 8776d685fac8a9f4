"""The bodies that forms and scripts send, in any encoding."""

from collections.abc import Iterable
from typing import Any

import pytest

from runtime.http.problem_details import ProblemError
from services.ingest import problems
from services.ingest.forms.body import FIELDS_MAX, TEXT_MAX_BYTES, FormBody, read_form
from services.ingest.request import LeadRequest

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=X"


async def read(content_type: str, *pieces: bytes) -> FormBody:
    messages: Iterable[Any] = iter(
        [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces, 1)
        ]
    )

    async def receive() -> Any:
        return next(messages)  # type: ignore[call-overload]

    scope = {"headers": [(b"content-type", content_type.encode())] if content_type else []}
    return await read_form(LeadRequest(scope, receive))


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--X\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + value + b"\r\n"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"name=Ada&message=a+b%0D%0Ac", {"name": "Ada", "message": "a b\r\nc"}),
        (b"name=%C3%84da", {"name": "Äda"}),
        (b"name=%C4da", {"name": "Äda"}),
        (b"_charset_=shift_jis&name=%93%FA%96%7B", {"name": "日本"}),
        (b"_charset_=nonsense&name=%C4da", {"name": "Äda"}),
        (b"interests[]=a&interests[]=b&one=", {"interests": ["a", "b"], "one": ""}),
        (b"name", {"name": ""}),
        (b"", {}),
    ],
)
async def test_urlencoded_fields_are_read_in_any_encoding(body: bytes, fields: dict[str, Any]) -> None:
    assert await read(URLENCODED, body) == FormBody(fields)
    assert await read("", body) == FormBody(fields)


async def test_multipart_fields_are_read_and_files_are_dropped() -> None:
    whole = (
        part("name", "Äda".encode())
        + part("cv", b"x" * (TEXT_MAX_BYTES + 1), "Äda.pdf")
        + part("photo", b"", "")
        + part("message", b"Hallo\r\n--Y")
        + b"--X--\r\n"
    )
    for size in (len(whole), 7):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        form = await read(MULTIPART, *pieces)
        assert form == FormBody({"name": "Äda", "message": "Hallo\r\n--Y"}, (("cv", "Äda.pdf"),))


async def test_regression_a_last_field_without_an_end_is_kept() -> None:
    whole = part("name", b"Ada") + part("message", b"Please call me.")
    form = FormBody({"name": "Ada", "message": "Please call me."})
    for size in (len(whole), 7, 1):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        assert await read(MULTIPART, *pieces) == form
    assert await read(MULTIPART, whole.removesuffix(b"\r\n")) == form
    assert await read(MULTIPART, part("name", b"Ada") + b"--X\r\nContent-Disp") == FormBody({"name": "Ada"})


async def test_an_encoded_file_name_is_that_of_a_file() -> None:
    head = b"--X\r\nContent-Disposition: form-data; name=\"cv\"; filename*=UTF-8''%E2%82%AC.pdf\r\n\r\n"
    assert await read(MULTIPART, head + b"\x89\r\n--X--") == FormBody({}, (("cv", "€.pdf"),))


@pytest.mark.parametrize("content_type", ["application/json", "application/ld+json", "text/plain", ""])
async def test_json_objects_are_read(content_type: str) -> None:
    assert await read(content_type, b' {"a": 1,', b' "b": "x\ny"}') == FormBody({"a": 1, "b": "x\ny"})
    if "json" in content_type:
        assert await read(content_type, b'\xef\xbb\xbf{"a": 1}') == FormBody({"a": 1})
        assert await read(content_type, b'{"a": "Jos\xe9"}') == FormBody({"a": "José"})
        assert await read(content_type, b'{"a": ' + b"9" * 5000 + b"}") == FormBody({"a": "9" * 5000})


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("application/json", b"[1]", "not-a-form"),
        ("application/json", b"{", "not-a-form"),
        ("application/json", b"[" * 100_000, "not-a-form"),
        ("application/json", b"\xff", "not-a-form"),
        ("multipart/form-data", part("a", b"b") + b"--X--", "not-a-form"),
        (MULTIPART, b"nonsense", "not-a-form"),
        (f"multipart/form-data; boundary={'x' * 1000}", b"", "not-a-form"),
        (MULTIPART, part("a", b"x" * (TEXT_MAX_BYTES + 1)) + b"--X--", "too-large"),
        (MULTIPART, part("a", b"") * (FIELDS_MAX + 1) + b"--X--", "too-large"),
        (MULTIPART, b"--X\r\nA: " + b"x" * 100_000, "not-a-form"),
        (URLENCODED, b"a&" * (FIELDS_MAX + 1), "too-large"),
        (URLENCODED, b"x" * (TEXT_MAX_BYTES + 1), "too-large"),
        ("text/xml", b"<a/>", "unsupported-media-type"),
    ],
)
async def test_other_bodies_are_refused(content_type: str, body: bytes, code: str) -> None:
    with pytest.raises(ProblemError) as refused:
        await read(content_type, body)
    assert refused.value.problem.code == code


async def test_an_encoded_body_is_refused() -> None:
    scope = {"headers": [(b"content-encoding", b"gzip")]}
    with pytest.raises(ProblemError) as refused:
        await read_form(LeadRequest(scope, None))  # type: ignore[arg-type]
    assert refused.value.problem == problems.UNSUPPORTED_ENCODING
