"""A thread for functions that read files, because a mounted file may hang."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class ReadingThread(Generic[T]):
    """Runs a function in a thread of its own. Only one such thread runs at a time.

    asyncio's own threads are not used, because they also resolve host names: a file that hangs would stop
    that. A process that ends does not wait for the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: asyncio.Future[T] | None = None

    async def run(self, function: Callable[[], T], seconds: float) -> T:
        """Return the result of the function, or raise its error.

        Raises `TimeoutError` if there is no result within `seconds`, which include the wait for an earlier
        call to end.
        """
        async with asyncio.timeout(seconds):
            while self._running is not None:
                await asyncio.wait({self._running})
            self._running = self._start(function)
            return await asyncio.shield(self._running)

    def _start(self, function: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def finish(set_outcome: Callable[[], None]) -> None:
            self._running = None
            set_outcome()
            future.exception()  # Nobody may wait for it any more.

        def run() -> None:
            set_outcome: Callable[[], None]
            try:
                set_outcome = partial(future.set_result, function())
            except Exception as error:  # noqa: BLE001 - whatever it was, `run` raises it
                set_outcome = partial(future.set_exception, error)
            with contextlib.suppress(RuntimeError):  # The process is ending: its loop is closed.
                loop.call_soon_threadsafe(finish, set_outcome)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return future
