"""A uvicorn server that does not wake up ten times a second, and answers what arrives while it stops."""

import asyncio
import contextlib
import socket
import sys
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from runtime.http.protocol import BoundedHttpProtocol
from runtime.tasks import seconds_to_next

# The header Date has seconds.
TICK_SECONDS: Final = 1.0
# How long a stopping server waits for the next request of an idle connection.
LAST_REQUEST_SECONDS: Final = 1.0


class Server(uvicorn.Server):
    """Looks once a second at what uvicorn looks at every 0.1 s, and at once when a signal stops it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    async def main_loop(self) -> None:
        """Update the Date of the responses until the server must exit."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self._stopped.wait(), seconds_to_next(TICK_SECONDS))
            except TimeoutError:
                continue

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Let the server exit: at once, unless it is still starting."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, as uvicorn does, but give idle connections a second for one more request.

        uvicorn closes them at once, and so loses a request that is on its way, which a proxy does not repeat
        if it is a POST. The last response has `Connection: close`, so the client sends nothing after it.
        """
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedHttpProtocol):
                connection.end_with_next_response()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_REQUEST_SECONDS):
                while self.server_state.connections and not self.force_exit:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def run(config: uvicorn.Config, sockets: list[socket.socket] | None = None) -> None:
    """Serve an app until SIGTERM or SIGINT, on sockets that listen already or on the address in `config`.

    Raises `SystemExit` if the server cannot start.
    """
    server = Server(config)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C, after the drain
        server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)
