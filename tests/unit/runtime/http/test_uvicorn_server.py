"""The server of all services: it stops at once at a signal, and keeps the responses' Date current."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.responses import Response

from runtime.http import uvicorn_server
from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.direct_route import DirectRoute, RawHeaders, direct_protocol
from runtime.http.uvicorn_server import Server
from tests.support.wait import eventually


@pytest.fixture
def caught() -> Iterator[list[int]]:
    """Catch the SIGTERM that the server raises again when it has stopped."""
    signals = list[int]()
    before = signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    yield signals
    signal.signal(signal.SIGTERM, before)


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError((scope, receive, send))


async def started(server: Server) -> "asyncio.Task[None]":
    async def is_started() -> bool:
        return server.started

    serving = asyncio.create_task(server.serve())
    await eventually(is_started, what="the start")
    return serving


def make_server() -> Server:
    return Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))


async def hello(_: RawHeaders, __: bytes) -> Response:
    return Response(b"hello", 201)


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await Response(b"hello", 201)(scope, receive, send)


def make_answering_server() -> Server:
    protocol = direct_protocol(10, DirectRoute("/direct", AllowedHosts("", debug=False), hello))
    return Server(uvicorn.Config(answer, port=0, http=protocol, ws="none", lifespan="off", log_config=None))


async def test_a_signal_stops_the_server_between_two_ticks(
    caught: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "TICK_SECONDS", 600.0)
    serving = await started(make_server())
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 30)
    assert caught == [signal.SIGTERM]


async def test_the_date_of_responses_is_current(caught: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_server, "TICK_SECONDS", 0.01)
    server = make_server()
    serving = await started(server)
    monkeypatch.setattr(time, "time", lambda: 86_400.0)

    async def date() -> bytes:
        return dict(server.server_state.default_headers)[b"date"]

    await eventually(date, until=lambda found: found == b"Fri, 02 Jan 1970 00:00:00 GMT", what="the date")
    server.handle_exit(signal.SIGTERM, None)
    await asyncio.wait_for(serving, 30)
    assert caught == [signal.SIGTERM]


@pytest.mark.parametrize("path", ["/direct", "/app"])
@pytest.mark.parametrize("earlier", [0, 1])
async def test_a_request_on_a_kept_connection_is_answered_while_it_stops(
    caught: list[int], path: str, earlier: int
) -> None:
    server = make_answering_server()
    serving = await started(server)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def connections() -> int:
        return len(server.server_state.connections)

    await eventually(connections, what="the connection")
    request = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    for _ in range(earlier):
        writer.write(request)
        assert b"connection: close" not in await reader.readuntil(b"hello")
    server.handle_exit(signal.SIGTERM, None)

    async def listening() -> bool:
        return server.servers[0].is_serving()

    await eventually(listening, until=lambda is_serving: not is_serving, what="the end of listening")
    writer.write(request)
    response = await asyncio.wait_for(reader.read(), 30)
    assert response.startswith(b"HTTP/1.1 201 ")
    assert b"connection: close" in response
    writer.close()
    await asyncio.wait_for(serving, 30)
    assert caught == [signal.SIGTERM]


async def test_idle_connections_are_closed_when_it_stops(
    caught: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "LAST_REQUEST_SECONDS", 0.1)
    server = make_answering_server()
    serving = await started(server)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    server.handle_exit(signal.SIGTERM, None)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await asyncio.wait_for(serving, 30)
    assert caught == [signal.SIGTERM]
