"""Reads the state of the other workers of this gateway, each from its own socket in their shared folder."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic_core import from_json, to_json

from runtime.worker import Worker

# Below the 2 s that a readiness probe waits, and above the 1.5 s that a worker's own checks may take.
ANSWER_SECONDS: Final = 1.8

State: TypeAlias = dict[str, Any]
"""`readiness` as in `/readyz` and `status` as in `/internal/status`, of one worker alone."""


class OtherWorkers:
    """The other workers, and the state that this one shows to them.

    `own_state` returns the state of this worker after it has run its checks and has set its gauges.
    """

    def __init__(self, worker: Worker, own_state: Callable[[], Awaitable[State]]) -> None:
        self._worker = worker
        self._own_state = own_state

    @property
    def count(self) -> int:
        """The number of workers, including this one."""
        return self._worker.count

    async def read(self) -> dict[int, State | None]:
        """Return the state of each worker by its number, including this one.

        A worker that does not answer has None.
        """
        numbers = range(1, self._worker.count + 1)
        states = await asyncio.gather(*map(self._read_worker, numbers))
        return dict(zip(numbers, states, strict=True))

    async def _read_worker(self, number: int) -> State | None:
        if number == self._worker.number:
            return await self._own_state()
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ANSWER_SECONDS):
                return await _request_state(_socket_path(self._worker, number))
        return None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Answer the other workers while the context lasts."""
        path = _socket_path(self._worker, self._worker.number)
        path.unlink(missing_ok=True)  # of the worker before this one
        server = await asyncio.start_unix_server(self._answer, path)
        try:
            yield
        finally:
            server.close()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(to_json(await self._own_state()))
            writer.close()
            await writer.wait_closed()


def _socket_path(worker: Worker, number: int) -> Path:
    return worker.folder / f"{number}.sock"


async def _request_state(path: Path) -> State:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        state: State = from_json(await reader.read())
        return state
    finally:
        writer.close()
