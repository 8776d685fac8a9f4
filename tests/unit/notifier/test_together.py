"""Many who write share a commit, and nobody is harmed by another."""

import asyncio

import pytest

from runtime.failures import DependencyUnavailable, RetryableError
from services.notifier.group_commit import Together


class Disk:
    """Writes numbers, a group at a time; `gate` holds each group up."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.bad: set[int] = set()
        self.away = False

    async def write(self, items: list[int]) -> list[int]:
        self.groups.append(items)
        self.begun.set()
        await self.gate.wait()
        if self.away:
            raise DependencyUnavailable("database", "away")
        if self.bad & set(items):
            raise RetryableError("refused")
        return [item * 10 for item in items]


async def test_what_comes_while_a_group_is_written_is_one_group() -> None:
    disk = Disk()
    together = Together(disk.write)
    disk.gate.clear()
    first = asyncio.create_task(together(1))
    await disk.begun.wait()
    others = [asyncio.create_task(together(item)) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    disk.gate.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert disk.groups == [[1], [2, 3, 4]]


async def test_one_that_is_refused_fails_alone() -> None:
    disk = Disk()
    together, disk.bad = Together(disk.write), {2}
    answers = await asyncio.gather(*(together(item) for item in (1, 2, 3)), return_exceptions=True)
    assert [answers[0], answers[2]] == [10, 30]
    assert isinstance(answers[1], RetryableError)


async def test_a_fault_of_the_world_is_told_to_all_and_the_next_is_tried_again() -> None:
    disk = Disk()
    together, disk.away = Together(disk.write), True
    answers = await asyncio.gather(*(together(item) for item in (1, 2)), return_exceptions=True)
    assert all(isinstance(answer, DependencyUnavailable) for answer in answers)
    disk.away = False
    assert await together(3) == 30


async def test_who_stops_waiting_stops_nobody_else_and_idle_waits_for_what_is_on_its_way() -> None:
    disk = Disk()
    together = Together(disk.write)
    disk.gate.clear()
    impatient, patient = asyncio.create_task(together(1)), asyncio.create_task(together(2))
    await disk.begun.wait()
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    waiting = asyncio.create_task(together.idle())
    await asyncio.sleep(0)
    assert not waiting.done()
    disk.gate.set()
    assert await patient == 20
    await waiting
    assert disk.groups == [[1, 2]]


async def test_who_gave_up_before_its_group_began_is_left_out() -> None:
    disk = Disk()
    together = Together(disk.write)
    disk.gate.clear()
    first = asyncio.create_task(together(1))
    await disk.begun.wait()
    second = asyncio.create_task(together(2))
    await asyncio.sleep(0)
    second.cancel()
    disk.gate.set()
    assert await first == 10
    await together.idle()
    assert disk.groups == [[1]]


async def test_what_comes_in_the_same_turn_of_the_loop_goes_along() -> None:
    groups: list[list[str]] = []

    async def work(items: list[str]) -> list[str]:
        groups.append(items)
        return items

    together = Together(work)
    first = asyncio.create_task(together("a"))
    await asyncio.sleep(0)  # its group is about to go
    second = asyncio.create_task(together("b"))
    await asyncio.gather(first, second)
    assert groups == [["a", "b"]]
