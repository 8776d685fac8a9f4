"""Sends each accepted lead and each counted request to the other workers, so that the limits are shared.

A message is lost only if its receiver is dead, or reads nothing for a long time. Then the receiver counts
less than it should: no lead depends on a message.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json, to_json

from runtime.worker import Worker

# A datagram has at most so many messages of some 150 bytes: well below the 208 KiB of a socket's buffer.
_MESSAGES_PER_DATAGRAM: Final = 200
# Datagrams for a worker whose buffer is full. After that, the oldest are dropped.
_BACKLOG_DATAGRAMS: Final = 1000
_RETRY_SECONDS: Final = 0.01
# So that requests are not held up by a long queue.
_DATAGRAMS_PER_TURN: Final = 20
_DATAGRAM_BYTES: Final = 256 * 1024

Receive = Callable[..., None]
"""Takes the values of a message, as JSON has them."""


class Broadcast:
    """Messages to all other workers, collected for each turn of the event loop."""

    def __init__(self, worker: Worker) -> None:
        self._path = _path(worker, worker.number)
        numbers = range(1, worker.count + 1)
        self._backlogs = {
            _path(worker, number): deque[bytes](maxlen=_BACKLOG_DATAGRAMS)
            for number in numbers
            if number != worker.number
        }
        self._receivers: dict[str, Receive] = {}
        self._pending: list[tuple[Any, ...]] = []
        self._socket: socket.socket | None = None
        self._retry: asyncio.TimerHandle | None = None

    def subscribe(self, channel: str, receive: Receive) -> None:
        """Have `receive` called with the values of each message of other workers in a channel."""
        self._receivers[channel] = receive

    def send(self, channel: str, *values: Any) -> None:
        """Send a message at the end of this turn of the event loop. Never waits or fails."""
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append((channel, *values))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Receive messages while the context lasts."""
        self._path.unlink(missing_ok=True)  # of the worker before this one
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
            opened.setblocking(False)
            opened.bind(str(self._path))
            self._socket = opened
            loop.add_reader(opened, self._receive, opened)
            try:
                yield
            finally:
                loop.remove_reader(opened)
                self._socket = None
                if self._retry:
                    self._retry.cancel()

    def _flush(self) -> None:
        messages, self._pending = self._pending, []
        for start in range(0, len(messages), _MESSAGES_PER_DATAGRAM):
            data = to_json(messages[start : start + _MESSAGES_PER_DATAGRAM])
            for backlog in self._backlogs.values():
                backlog.append(data)
        self._send_backlogs()

    def _retry_backlogs(self) -> None:
        self._retry = None
        self._send_backlogs()

    def _send_backlogs(self) -> None:
        waiting = False
        for path, backlog in self._backlogs.items():
            while backlog and self._socket:
                try:
                    self._socket.sendto(backlog[0], str(path))
                except BlockingIOError:
                    waiting = True
                    break
                except OSError:  # the worker is dead, and its successor has not started
                    pass
                backlog.popleft()
        if waiting and self._retry is None:  # one timer at a time, however many turns had messages
            self._retry = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._retry_backlogs)

    def _receive(self, opened: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_DATAGRAMS_PER_TURN):
                for channel, *values in from_json(opened.recv(_DATAGRAM_BYTES)):
                    self._receivers[channel](*values)


def _path(worker: Worker, number: int) -> Path:
    return worker.folder / f"{number}.messages"
