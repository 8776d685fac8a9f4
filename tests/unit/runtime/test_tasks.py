"""Background work ends when its owner does."""

import asyncio
import contextlib

import pytest

from runtime import tasks


async def test_regression_work_that_loses_a_cancel_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_SECONDS", 0.05)
    lost = 0

    async def work() -> None:
        nonlocal lost
        with contextlib.suppress(asyncio.CancelledError):  # as wait_for does where its work ends just then
            await asyncio.sleep(60)
        lost += 1
        await asyncio.sleep(60)

    async with asyncio.timeout(2):
        async with tasks.run_in_background(work(), "work"):
            await asyncio.sleep(0)
    assert lost == 1


async def test_regression_work_that_cancels_itself_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()
    monkeypatch.setattr(tasks, "end_process", ended.set)

    async def work() -> None:
        fetch = asyncio.create_task(asyncio.sleep(60))
        fetch.cancel()
        await fetch  # as aiokafka's fetcher does when it is closed

    async with asyncio.timeout(2), tasks.run_in_background(work(), "work"):
        await ended.wait()


async def test_work_that_is_cancelled_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()
    monkeypatch.setattr(tasks, "end_process", ended.set)
    async with tasks.run_in_background(asyncio.sleep(60), "work"):
        await asyncio.sleep(0)
    assert not ended.is_set()
