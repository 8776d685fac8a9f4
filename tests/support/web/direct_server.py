"""A server in the test's process that has a direct route, and a client that sends it raw bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from runtime.http.direct_route import DirectRoute, direct_protocol
from runtime.http.security_headers import SecurityHeaders
from tests.support.wait import eventually


@asynccontextmanager
async def run_direct(app: Any, route: DirectRoute, state: ServerState | None = None) -> AsyncIterator[int]:
    """Serve an app and its direct route as `serve` does. Yields the port."""
    state = state or ServerState()
    state.default_headers = [(b"date", b"today")]
    config = uvicorn.Config(
        SecurityHeaders(app), ws="none", log_config=None, access_log=False, timeout_keep_alive=30
    )
    config.load()
    protocol = direct_protocol(1, route)
    server = await asyncio.get_running_loop().create_server(lambda: protocol(config, state, {}), "127.0.0.1")

    async def count_connections() -> int:
        return len(state.connections)

    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*state.tasks)
        await eventually(count_connections, until=lambda count: count == 0, what="no connection")


async def exchange(port: int, *pieces: bytes) -> bytes:
    """Send these pieces, and return everything until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        received = await reader.read()
    writer.close()
    return received
