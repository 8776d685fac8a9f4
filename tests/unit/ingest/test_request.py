"""The size, timing, media type and encoding of a request's body."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from services.ingest.request import ReceivedRequest
from tests.support.services.gateway import Gateway, expect_problem, run_gateway, submission


def test_the_first_of_several_headers_with_one_name_counts() -> None:
    request = ReceivedRequest([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")], b"")
    assert [request.header(name) for name in (b"a", b"b", b"c")] == ["1", "2", None]


@pytest.mark.parametrize("size", [256 * 1024 + 1, 300 * 1024, 1024 * 1024])
async def test_body_beyond_256_kib_gets_a_413(gateway: Gateway, size: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        for _ in range(size // 1024):
            yield b" " * 1024

    expect_problem(await gateway.post_raw(b"{" + b" " * (size - 1)), 413)
    expect_problem(await gateway.post_raw(chunks()), 413)
    expect_problem(await gateway.post_raw(b"{}", {"Content-Length": "9" * 5000}), 413)


async def test_body_of_256_kib_is_accepted(gateway: Gateway) -> None:
    body = json.dumps(submission())
    answer = await gateway.post_raw(body[:-1] + " " * (256 * 1024 - len(body)) + "}")
    assert answer.status_code == 201


async def test_stalled_body_gets_a_408_and_closes_the_connection() -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b'{"name": '
        await asyncio.sleep(30)

    async with run_gateway(body_deadline_seconds=0.05) as gateway:
        answer = await gateway.post_raw(stalls())
        expect_problem(answer, 408)
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/ld+json",
        "application/vnd.site.lead+json;v=2",
        "application/x-www-form-urlencoded",
        "",
    ],
)
async def test_json_and_form_media_types_are_accepted(gateway: Gateway, media_type: str) -> None:
    answer = await gateway.post_raw(json.dumps(submission()), {"Content-Type": media_type})
    assert answer.status_code == 201, answer.text


async def test_missing_content_type_is_accepted(gateway: Gateway) -> None:
    assert (await gateway.post_raw(json.dumps(submission()), {})).status_code == 201


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/plain", "{}"),
        ("multipart/form-data; boundary=x", "--x"),
        ("application/x-www-form-urlencoded", "name=Ada"),
        ("application/xml", "<a/>"),
        ("application/jsonp", "{}"),
    ],
)
async def test_other_media_types_get_a_415(gateway: Gateway, media_type: str, body: str) -> None:
    expect_problem(await gateway.post_raw(body, {"Content-Type": media_type}), 415)


async def test_encoded_body_gets_a_415_with_accept_encoding(gateway: Gateway) -> None:
    answer = await gateway.post_raw(b"\x1f\x8b", {"Content-Encoding": "gzip"})
    expect_problem(answer, 415)
    assert answer.headers["Accept-Encoding"] == "identity"


async def test_byte_order_mark_and_leading_blanks_are_accepted(gateway: Gateway) -> None:
    body = b"\xef\xbb\xbf \r\n" + json.dumps(submission()).encode()
    assert (await gateway.post_raw(body)).status_code == 201
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await gateway.post_raw(body, form)).status_code == 201
