"""Group commit: one write for all items that arrived during the previous write. Runs no SQL itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from runtime.failures import RetryableError

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Passes items to `commit` in groups, one group at a time. `commit` returns one result for each item.

    If no write is running, an item is written at once. Items that arrive during a write form the next group.
    If `commit` raises `RetryableError` for a group, the items of the group are written one by one.

    If a caller is cancelled while its item waits, the item is not written. A write that has begun continues.
    Call `idle` to wait until no write is running.
    """

    def __init__(self, commit: Callable[[list[Item]], Awaitable[list[Result]]]) -> None:
        self._commit = commit
        self._pending: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Write one item and return its result.

        If `commit` raises `RetryableError` for a group, each item of the group is committed alone, and this
        method raises the item's own error. Any other error of `commit` is raised for all items of the group.
        """
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append((item, result))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await result

    async def idle(self) -> None:
        """Wait until no write is running."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._pending:
            # Let the callers that wake up in this iteration of the event loop add their items first.
            # That saves a quarter of the commits.
            await asyncio.sleep(0)
            group = [each for each in self._pending if not each[1].done()]
            self._pending.clear()
            if group:
                await self._commit_group(group)

    async def _commit_group(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._commit([item for item, _ in group])
        except RetryableError as error:
            if len(group) > 1:
                for each in group:
                    await self._commit_group([each])
            else:
                _set_exception(group[0][1], error)
        except Exception as error:  # noqa: BLE001 - every caller of the group gets it
            for _, future in group:
                _set_exception(future, error)
        else:
            for (_, future), result in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _set_exception(future: "asyncio.Future[Result]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
