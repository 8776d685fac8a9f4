"""The server of all services: it stops at once at a signal, and keeps the responses' Date current."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from runtime.http import uvicorn_server
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
