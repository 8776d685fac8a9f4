"""Concurrent writers share a commit, and a failing item affects no other."""

import asyncio
from typing import Final

import pytest

from runtime.database.group_commit import GroupCommit
from runtime.failures import DependencyRefused, DependencyUnavailable, RetryableError

REFUSED: Final = DependencyRefused("database", "refused")


class Disk:
    """Writes groups of numbers. A cleared `gate` blocks each group."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.bad: set[int] = set()
        self.error: Exception = RetryableError("refused")
        self.unavailable = False
        self.unavailable_after: set[int] = set()

    async def write(self, items: list[int]) -> list[int]:
        self.groups.append(items)
        self.started.set()
        await self.gate.wait()
        if self.unavailable:
            raise DependencyUnavailable("database", "unavailable")
        if self.bad & set(items):
            self.unavailable = bool(self.unavailable_after & set(items)) and len(items) == 1
            raise self.error
        return [item * 10 for item in items]


async def test_items_that_arrive_during_a_write_form_one_group() -> None:
    disk = Disk()
    group_commit = GroupCommit(disk.write)
    disk.gate.clear()
    first = asyncio.create_task(group_commit(1))
    await disk.started.wait()
    others = [asyncio.create_task(group_commit(item)) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    disk.gate.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert disk.groups == [[1], [2, 3, 4]]


@pytest.mark.parametrize("error", [RetryableError("data"), REFUSED, KeyError("bug")], ids=repr)
async def test_a_refused_item_fails_alone(error: Exception) -> None:
    disk = Disk()
    group_commit, disk.bad, disk.error = GroupCommit(disk.write), {2}, error
    results = await asyncio.gather(*(group_commit(item) for item in (1, 2, 3)), return_exceptions=True)
    assert results == [10, error, 30]


async def test_if_all_items_are_refused_each_caller_learns_that() -> None:
    disk = Disk()
    group_commit, disk.bad, disk.error = GroupCommit(disk.write), {1, 2}, REFUSED
    results = await asyncio.gather(*(group_commit(item) for item in (1, 2)), return_exceptions=True)
    assert results == [REFUSED, REFUSED]


async def test_a_dependency_that_fails_between_single_items_ends_the_others() -> None:
    disk = Disk()
    group_commit, disk.bad, disk.unavailable_after = GroupCommit(disk.write), {1}, {1}
    results = await asyncio.gather(*(group_commit(item) for item in (1, 2, 3, 4)), return_exceptions=True)
    assert [type(result) for result in results] == [RetryableError, *[DependencyUnavailable] * 3]
    assert disk.groups == [[1, 2, 3, 4], [1], [2]]


async def test_a_dependency_failure_is_raised_to_all_callers() -> None:
    disk = Disk()
    group_commit, disk.unavailable = GroupCommit(disk.write), True
    results = await asyncio.gather(*(group_commit(item) for item in (1, 2)), return_exceptions=True)
    assert all(isinstance(result, DependencyUnavailable) for result in results)
    disk.unavailable = False
    assert await group_commit(3) == 30


async def test_a_cancelled_caller_does_not_cancel_the_running_write() -> None:
    disk = Disk()
    group_commit = GroupCommit(disk.write)
    disk.gate.clear()
    cancelled, patient = asyncio.create_task(group_commit(1)), asyncio.create_task(group_commit(2))
    await disk.started.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    waiting = asyncio.create_task(group_commit.idle())
    await asyncio.sleep(0)
    assert not waiting.done()
    disk.gate.set()
    assert await patient == 20
    await waiting
    assert disk.groups == [[1, 2]]


async def test_an_item_cancelled_before_its_group_starts_is_not_written() -> None:
    disk = Disk()
    group_commit = GroupCommit(disk.write)
    disk.gate.clear()
    first = asyncio.create_task(group_commit(1))
    await disk.started.wait()
    second = asyncio.create_task(group_commit(2))
    await asyncio.sleep(0)
    second.cancel()
    disk.gate.set()
    assert await first == 10
    await group_commit.idle()
    assert disk.groups == [[1]]


async def test_items_of_the_same_loop_iteration_form_one_group() -> None:
    groups: list[list[str]] = []

    async def work(items: list[str]) -> list[str]:
        groups.append(items)
        return items

    group_commit = GroupCommit(work)
    first = asyncio.create_task(group_commit("a"))
    await asyncio.sleep(0)  # its group is about to start
    second = asyncio.create_task(group_commit("b"))
    await asyncio.gather(first, second)
    assert groups == [["a", "b"]]


async def test_a_wrong_number_of_results_reaches_every_caller() -> None:
    async def forget_one(items: list[int]) -> list[int]:
        return items[1:]

    group_commit = GroupCommit(forget_one)
    outcomes = await asyncio.wait_for(
        asyncio.gather(group_commit(1), group_commit(2), return_exceptions=True), 5
    )
    assert [type(each) for each in outcomes] == [ValueError, ValueError]
