"""Which requests the direct route answers, and how it ends them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.direct_route import DirectRoute, RawHeaders
from runtime.http.request_limits import BODY_MAX_BYTES
from tests.support.wait import eventually
from tests.support.web.direct_server import exchange, run_direct

HEAD = b"POST /lead HTTP/1.1\r\nHost: localhost\r\n"
LAST = b"Connection: close\r\n"
LENGTH = b"Content-Length: 2\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


async def respond(_: RawHeaders, __: bytes) -> Response:
    return Response("route", 201, {"Cache-Control": "private"})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()
    await Response("app")(scope, receive, send)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    route = DirectRoute("/lead", AllowedHosts("leads.example", debug=False), respond)
    async with run_direct(app, route) as port:
        yield port


@pytest.mark.parametrize(
    "request_",
    [HEAD + LAST + LENGTH + b"{}", HEAD + LAST + CHUNKED, HEAD.replace(b"1.1", b"1.0") + LENGTH + b"{}"],
    ids=["length", "chunked", "HTTP/1.0"],
)
async def test_complete_request_is_answered_directly(port: int, request_: bytes) -> None:
    assert await exchange(port, request_) == (
        b"HTTP/1.1 201 Created\r\ndate: today\r\ncache-control: private\r\ncontent-length: 5\r\n"
        b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
        b"referrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\nx-frame-options: DENY\r\n"
        b"connection: close\r\n\r\nroute"
    )


LARGE = b"Content-Length: %d\r\n\r\n" % (BODY_MAX_BYTES + 1) + b" " * (BODY_MAX_BYTES + 1)


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD.replace(b"POST", b"PUT") + LAST + LENGTH + b"{}",),
        (HEAD.replace(b"/lead", b"/leads") + LAST + LENGTH + b"{}",),
        (HEAD.replace(b"localhost", b"other.example") + LAST + LENGTH + b"{}",),
        (HEAD + LAST + b"Origin: https://www.example\r\n" + LENGTH + b"{}",),
        (HEAD + LAST + b"Expect: 100-continue\r\n" + LENGTH + b"{}",),
        (HEAD + LAST + LENGTH, b"{}"),
        (HEAD + LAST + LARGE,),
    ],
    ids=["method", "path", "host", "origin", "expect", "incomplete", "large"],
)
async def test_request_that_needs_a_middleware_goes_to_the_app(port: int, pieces: tuple[bytes, ...]) -> None:
    assert (await exchange(port, *pieces)).endswith(b"\r\n\r\napp")


async def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    whole, other = HEAD + LENGTH + b"{}", HEAD.replace(b"POST", b"PUT")
    answers = await exchange(port, whole + other + LENGTH + b"{}" + whole + HEAD + LAST + LENGTH + b"{}")
    bodies = [each.rpartition(b"\r\n\r\n")[2] for each in answers.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [b"route", b"app", b"app", b"app"]


async def test_malformed_body_gets_a_400(port: int) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nnot a size\r\n"
    assert (await exchange(port, HEAD + chunked)).startswith(b"HTTP/1.1 400 ")


async def test_stop_closes_the_connection_after_the_response() -> None:
    arrived, goes_on, state = asyncio.Event(), asyncio.Event(), ServerState()

    async def wait(_: RawHeaders, __: bytes) -> Response:
        arrived.set()
        await goes_on.wait()
        return Response("late")

    async with run_direct(app, DirectRoute("/lead", AllowedHosts("", debug=False), wait), state) as port:
        answer = asyncio.create_task(exchange(port, HEAD + LENGTH + b"{}"))
        await arrived.wait()
        (connection,) = state.connections
        assert len(state.tasks) == 1  # uvicorn waits for it
        connection.shutdown()
        goes_on.set()
        assert (await answer).endswith(b"connection: close\r\n\r\nlate")
    assert not state.tasks


async def test_error_of_the_function_is_a_500_as_in_uvicorn() -> None:
    async def fail(_: RawHeaders, __: bytes) -> Response:
        raise asyncio.CancelledError

    async with run_direct(app, DirectRoute("/lead", AllowedHosts("", debug=False), fail)) as port:
        assert await exchange(port, HEAD + LENGTH + b"{}") == (
            b"HTTP/1.1 500 Internal Server Error\r\ndate: today\r\n"
            b"content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\nconnection: close\r\n\r\n"
            b"Internal Server Error"
        )


async def test_no_response_is_written_to_a_client_that_disconnected() -> None:
    arrived, goes_on, state = asyncio.Event(), asyncio.Event(), ServerState()

    async def wait(_: RawHeaders, __: bytes) -> Response:
        arrived.set()
        await goes_on.wait()
        return Response("late")

    async def disconnected() -> bool:
        return not state.connections

    async with run_direct(app, DirectRoute("/lead", AllowedHosts("", debug=False), wait), state) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + LENGTH + b"{}")
        await arrived.wait()
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await eventually(disconnected, what="the disconnect")
        goes_on.set()
    assert state.total_requests == 0
