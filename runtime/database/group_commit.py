"""Group commit: one write for all items that arrived during the previous write. Runs no SQL itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from runtime.failures import DependencyRefused, DependencyUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Passes items to `commit` in groups, one group at a time. `commit` returns one result for each item.

    If no write is running, an item is written at once. Items that arrive during a write form the next group.
    If `commit` fails for a group, and one of the items may be the cause, the items of the group are written
    one by one.

    If a caller is cancelled while its item waits, the item is not written. A write that has begun continues.
    Call `idle` to wait until no write is running.
    """

    def __init__(self, commit: Callable[[list[Item]], Awaitable[list[Result]]]) -> None:
        self._commit = commit
        self._pending: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Write one item and return its result.

        If an error of `commit` may be the fault of one item, each item of the group is committed alone, and
        this method raises the item's own error. `DependencyUnavailable` is no item's fault: it is raised for
        all items that are not committed yet.
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
            pairs = list(zip(group, results, strict=True))
        except Exception as error:  # noqa: BLE001 - every caller whose item is not committed gets it
            if len(group) > 1 and _may_be_one_items_fault(error):
                await self._commit_one_by_one(group)
            else:
                _set_exception(group, error)
        else:
            for (_, future), result in pairs:
                if not future.done():
                    future.set_result(result)

    async def _commit_one_by_one(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        for number, each in enumerate(group):
            await self._commit_group([each])
            error = each[1].exception() if not each[1].cancelled() else None
            if error is not None and not _may_be_one_items_fault(error):
                # The dependency has failed since: do not wait for the timeout of each item.
                _set_exception(group[number + 1 :], error)
                return


def _may_be_one_items_fault(error: BaseException) -> bool:
    """Return True if the other items of the group may succeed: they were refused, or there is a bug."""
    return not isinstance(error, DependencyUnavailable) or isinstance(error, DependencyRefused)


def _set_exception(group: list[tuple[Item, "asyncio.Future[Result]"]], error: BaseException) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
