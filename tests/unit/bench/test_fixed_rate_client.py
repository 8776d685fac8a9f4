"""The client with a fixed rate, against a server that stalls."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.inputs.fixed_rate_client import post

STALL_SECONDS = 0.3


class Gateway(asyncio.Protocol):
    """Answers each request in two packets. The first one of all stalls the whole server."""

    status = b"201 Created"
    requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self._transport, asyncio.WriteTransport)
        if not type(self).requests:
            time.sleep(STALL_SECONDS)
        type(self).requests += data.count(b"POST /inbound/leads")
        self._transport.write(b"HTTP/1.1 " + self.status + b"\r\ncontent-length: 4\r\n\r\nok")
        asyncio.get_running_loop().call_soon(self._transport.write, b"ok")


@asynccontextmanager
async def serving(protocol: type[Gateway]) -> AsyncIterator[str]:
    async with await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_stall_lengthens_every_answer_that_was_due_in_it() -> None:
    class Stalling(Gateway):
        pass

    async with serving(Stalling) as url:
        said = await asyncio.to_thread(asyncio.run, post(url, 200, 0.5))
    assert said["sent"] == Stalling.requests == 100
    assert said["refused"] == 0
    # 60 of the 100 requests were due while the server stalled, and waited for 150 ms on average.
    assert said["p50"] >= 1000 * STALL_SECONDS / 10
    assert said["p99"] >= 0.9 * 1000 * STALL_SECONDS


async def test_refusals_are_counted() -> None:
    class Refusing(Gateway):
        status = b"503 Service Unavailable"
        requests = 1  # no stall

    async with serving(Refusing) as url:
        said = await asyncio.to_thread(asyncio.run, post(url, 500, 0.1))
    assert said["refused"] == said["sent"] == 50
