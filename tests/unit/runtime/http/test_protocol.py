"""The protocol's limits for time and size, and its rejection of ambiguous requests."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from runtime.http.protocol import HEAD_MAX_BYTES, HEADERS_MAX, PIPELINE_MAX, bounded_protocol
from tests.support.wait import eventually

HEAD_SECONDS, KEEP_ALIVE_SECONDS = 0.3, 1
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQB\r\n"
)
INNER = b"GET /internal/status HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(INNER)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with what the application receives of a request."""
    request = Request(scope, receive)
    body = await request.body()
    seen = {
        "path": scope["path"],
        "body": body.decode(),
        "headers": [n.decode() for n, _ in scope["headers"]],
    }
    await JSONResponse(seen)(scope, receive, send)


@pytest.fixture
async def state() -> ServerState:
    return ServerState()


@pytest.fixture
async def port(state: ServerState) -> AsyncIterator[int]:
    config = uvicorn.Config(echo, timeout_keep_alive=KEEP_ALIVE_SECONDS, ws="none", log_config=None)
    config.load()
    protocol = bounded_protocol(HEAD_SECONDS)
    server = await asyncio.get_running_loop().create_server(lambda: protocol(config, state, {}), "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*state.tasks)
        for connection in list(state.connections):
            connection.transport.abort()
        await no_connections(state)


async def closed_after(port: int, *sent: bytes) -> float:
    """Send these at intervals, and return the seconds from the last one until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for each in sent:
        writer.write(each)
        await asyncio.sleep(0.1)
    began = time.monotonic() - 0.1
    async with asyncio.timeout(5):
        while await reader.read(1000):
            pass
    writer.close()
    return time.monotonic() - began


async def no_connections(state: ServerState) -> None:
    async def count() -> int:
        return len(state.connections)

    await eventually(count, until=lambda number: number == 0)


async def drop(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def answers(port: int, *sent: bytes) -> list[tuple[int, bytes]]:
    """Send these one after the other, and return the status and the body of each response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []

    async def read() -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                length = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.lower().partition(b":")
                    length = int(value) if name == b"content-length" else length
                found.append((int(line.split()[1]), await reader.readexactly(length)))

    # Read concurrently: a reset connection loses what has not been read yet.
    reading = asyncio.create_task(read())
    try:
        with contextlib.suppress(ConnectionError):
            for each in sent:
                writer.write(each)
                await writer.drain()
                await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await reading
    finally:
        reading.cancel()
        await drop(writer)
    return found


@pytest.mark.parametrize(
    "sent",
    [
        (b"",),
        (b"\r\n",),
        (b"GET / HT",),
        (REQUEST, b"GET / HT"),
        (REQUEST + b"GET / HT",),
        (REQUEST, b"\r\n"),
    ],
    ids=["nothing", "line", "part", "second part", "pipelined part", "regression line after a request"],
)
async def test_missing_head_closes_the_connection(port: int, sent: tuple[bytes, ...]) -> None:
    assert await closed_after(port, *sent) < KEEP_ALIVE_SECONDS


async def test_head_in_pieces_and_a_keep_alive_pause_are_accepted(port: int) -> None:
    took = await closed_after(port, REQUEST[:9], REQUEST[9:], b"", b"", b"", b"", REQUEST)
    assert KEEP_ALIVE_SECONDS * 0.9 <= took < KEEP_ALIVE_SECONDS + 1


@pytest.mark.parametrize(
    ("framing", "body"),
    [(LENGTH, INNER), (CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER))],
    ids=["length", "chunked"],
)
@pytest.mark.parametrize("offer", [OFFER, b"Upgrade: websocket\r\nConnection: upgrade, keep-alive\r\n"])
@pytest.mark.parametrize("pieces", [1, 2, 3])
async def test_regression_an_upgrade_offer_is_ignored_and_the_body_kept(
    port: int, framing: bytes, body: bytes, offer: bytes, pieces: int
) -> None:
    head = POST + offer + framing
    sent = {1: [head + body], 2: [head, body], 3: [head, body[:20], body[20:]]}[pieces]
    found = await answers(port, *sent, LAST)
    assert [status for status, _ in found] == [200, 200]
    assert json.loads(found[0][1])["body"].encode() == INNER
    assert json.loads(found[1][1])["path"] == "/"


async def test_upgrade_offers_may_be_pipelined(port: int) -> None:
    one = POST.replace(b"POST", b"GET") + OFFER + b"\r\n"
    found = await answers(port, one + POST + OFFER + LENGTH + INNER + LAST)
    assert [(status, json.loads(body)["body"]) for status, body in found] == [
        (200, ""),
        (200, INNER.decode()),
        (200, ""),
    ]


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"a" * HEAD_MAX_BYTES + b"\r\n",
        b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 1000,
        b"a:\r\n" * (HEADERS_MAX + 1),
    ],
    ids=["one value", "many", "count"],
)
@pytest.mark.parametrize("pieces", [1, 10])
async def test_head_beyond_the_limits_gets_a_431_and_a_close(port: int, head: bytes, pieces: int) -> None:
    whole = POST + head + b"\r\n" + REQUEST
    size = len(whole) // pieces + 1
    ((status, body),) = await answers(port, *(whole[i : i + size] for i in range(0, len(whole), size)))
    assert status == 431
    assert json.loads(body)["status"] == 431


async def test_head_of_60_mb_is_neither_stored_nor_parsed(port: int, state: ServerState) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    began, sent = time.process_time(), 0
    writer.write(POST + b"X: ")

    async def send_on() -> None:
        nonlocal sent
        while True:
            writer.write(b"a" * 65_536)
            await writer.drain()
            sent += 65_536
            if sent > 60_000_000:
                await asyncio.sleep(0.1)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_on(), 10)
    await drop(writer)
    assert time.process_time() - began < 1.5

    await no_connections(state)


async def test_head_within_the_limits_is_read_in_any_pieces(port: int) -> None:
    whole = LAST[:-2] + b"X: " + b"a" * 60_000 + b"\r\n\r\n"
    size = len(whole) // 5 + 1
    found = await answers(port, *(whole[i : i + size] for i in range(0, len(whole), size)))
    assert [status for status, _ in found] == [200]


async def test_trailers_are_dropped_and_limited(port: int) -> None:
    body = b"5\r\nhello\r\n0\r\n"
    ((status, said),) = await answers(
        port, POST + b"Connection: close\r\n" + CHUNKED + body + b"Authorization: x\r\n\r\n"
    )
    assert status == 200
    assert json.loads(said)["headers"] == ["host", "connection", "transfer-encoding"]
    pieces = [b"X: " + b"a" * 30_000] + [b"a" * 30_000] * 3
    found = await answers(port, POST + CHUNKED + body, *pieces)
    assert [status for status, _ in found] == [431]


async def test_unsupported_transfer_coding_gets_a_501(port: int) -> None:
    for coding in (b"gzip, chunked", b"xchunked", b"identity"):
        whole = POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
        ((status, _),) = await answers(port, whole + REQUEST)
        assert status in (400, 501)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + b"Content-Length: +5\r\n\r\nhello",
        POST + b"Transfer-Encoding: identity, chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + CHUNKED + b"5\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"ffffffffffffffffff\r\n",
        POST + b"X: a\r\n b\r\n\r\n",
        POST + b"X: a\0b\r\n\r\n",
        POST + b"X\0: b\r\n\r\n",
        POST + b"X: a\nContent-Length: 0\n\n",
        POST + b"X: a\rContent-Length: 0\r\n\r\n",
    ],
)
async def test_ambiguous_request_gets_a_400(port: int, request_: bytes) -> None:
    ((status, body),) = await answers(port, request_ + REQUEST)
    assert (status, json.loads(body)["status"]) == (400, 400)


async def test_garbage_after_a_request_does_not_replace_its_response(port: int) -> None:
    whole = POST + b"Content-Length: 5\r\n\r\nhello"
    for garbage in (b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000):
        found = await answers(port, whole + garbage)
        assert [(status, json.loads(body)["body"]) for status, body in found] == [(200, "hello")]


async def test_malformed_pipelined_body_is_answered_in_order(port: int) -> None:
    found = await answers(port, REQUEST + POST + CHUNKED + b"x\r\n")
    assert [status for status, _ in found] == [200, 400]


async def test_pipeline_is_limited(port: int) -> None:
    found = await answers(port, REQUEST * (PIPELINE_MAX * 3))
    assert [status for status, _ in found] == [200] * (PIPELINE_MAX + 1)


async def test_client_that_does_not_read_is_disconnected(
    state: ServerState, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.http.protocol.UNREAD_TIMEOUT_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    size = 8_000_000
    writer.write(POST + b"Content-Length: %d\r\n\r\n" % size + b"a" * size)

    await no_connections(state)
    del reader
    await drop(writer)
