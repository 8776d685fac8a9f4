"""A connection whose request does not come in time is closed, whatever it sends instead."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.responses import Response

from runtime.arrival import bounded_arrival

HEAD_SECONDS, KEEP_ALIVE_SECONDS = 0.3, 1
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(
            Response(),
            port=0,
            http=bounded_arrival(HEAD_SECONDS),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            lifespan="off",
            log_config=None,
        )
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def closed_after(port: int, *sent: bytes) -> float:
    """Send these, a little apart; answer when the server closed, from the last of them, in seconds."""
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
async def test_a_head_that_does_not_come_closes_the_connection(port: int, sent: tuple[bytes, ...]) -> None:
    assert await closed_after(port, *sent) < KEEP_ALIVE_SECONDS


async def test_a_head_in_pieces_and_a_pause_within_the_keep_alive_time_are_fine(port: int) -> None:
    took = await closed_after(port, REQUEST[:9], REQUEST[9:], b"", b"", b"", b"", REQUEST)
    assert KEEP_ALIVE_SECONDS <= took < KEEP_ALIVE_SECONDS + 1
