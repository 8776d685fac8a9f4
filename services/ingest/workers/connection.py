"""A worker's connection to its supervisor. It shows that neither of them hangs or is dead."""

import asyncio
import contextlib
import socket
from typing import Final

from runtime.logs import logger
from runtime.tasks import end_process

# The supervisor replaces a worker that sends no heartbeat for 30 s.
HEARTBEAT_SECONDS: Final = 5.0


async def run_connection(descriptor: int) -> None:
    """Send a byte to the supervisor every 5 s, until cancelled.

    If the supervisor has died, drain and end this process: the port must be free for its successor.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=descriptor) as connection:
        connection.setblocking(False)

        def on_end() -> None:  # the supervisor sends nothing
            loop.remove_reader(connection)
            logger("workers").warning("the supervisor has ended, ending the worker")
            end_process()

        loop.add_reader(connection, on_end)
        try:
            while True:
                with contextlib.suppress(OSError):  # it has ended, or it reads nothing
                    connection.send(b".")
                await asyncio.sleep(HEARTBEAT_SECONDS)
        finally:
            loop.remove_reader(connection)
