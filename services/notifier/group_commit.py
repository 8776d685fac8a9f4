"""Joins what comes while one is at work: the states of many mails in one commit. Knows nothing of mails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from runtime.failures import RetryableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Together(Generic[Item, Answer]):
    """Hands items to `work` in groups, one group at a time; `work` answers one for each, in their order.

    An item alone goes at once; what comes while a group is written makes the next. Where a group's data
    is at fault its items go one by one. Who stops waiting does not stop its group: ask for `idle`.
    """

    def __init__(self, work: Callable[[list[Item]], Awaitable[list[Answer]]]) -> None:
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Answer:
        """Take one item and wait for its answer, or for what its group raised."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await answer

    async def idle(self) -> None:
        """Wait until nothing is being written any more."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._waiting:
            # Answers that came together are worked off in one turn of the loop: a quarter fewer commits.
            await asyncio.sleep(0)
            group = [each for each in self._waiting if not each[1].done()]
            self._waiting.clear()
            if group:
                await self._hand_over(group)

    async def _hand_over(self, group: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._work([item for item, _ in group])
        except RetryableError as fault:
            if len(group) > 1:
                for each in group:
                    await self._hand_over([each])
            else:
                _tell(group[0][1], fault)
        except Exception as fault:  # noqa: BLE001 - each who waits is told
            for _, answer in group:
                _tell(answer, fault)
        else:
            for (_, answer), said in zip(group, answers, strict=True):
                if not answer.done():
                    answer.set_result(said)


def _tell(answer: "asyncio.Future[Answer]", fault: Exception) -> None:
    if not answer.done():
        answer.set_exception(fault)
