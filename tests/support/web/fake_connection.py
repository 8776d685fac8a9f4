"""A connection without a socket: the test feeds bytes to the server's protocol, and reads what it writes."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from runtime.http.security_headers import SecurityHeaders

# More turns of the event loop than the gateway's app needs to answer a request.
SETTLE_TURNS = 40


class FakeTransport(asyncio.Transport):
    """Collects what the protocol writes. `paused` is True while the protocol reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closing = self.paused = False

    def write(self, data: Any) -> None:
        if not self.closing:
            self.written += data

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def can_write_eof(self) -> bool:
        return False


async def talk(app: Any, protocol: type[HttpToolsProtocol], chunks: list[bytes]) -> tuple[bytes, bool, int]:
    """Feed chunks of data to a new connection. The server handles each chunk before the next one arrives.

    Returns what the server wrote, whether it closed the connection, and how many requests it completed.
    """
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    config = uvicorn.Config(SecurityHeaders(app), ws="none", log_config=None, access_log=False)
    connection, transport = protocol(config, state, {}), FakeTransport()
    connection.connection_made(transport)
    for chunk in chunks:
        if transport.closing or transport.paused:
            break
        connection.data_received(chunk)
        for _ in range(SETTLE_TURNS):
            await asyncio.sleep(0)
    written, closed = bytes(transport.written), transport.closing
    connection.connection_lost(None)
    async with asyncio.timeout(5):
        await asyncio.gather(*state.tasks)
    return written, closed, state.total_requests
