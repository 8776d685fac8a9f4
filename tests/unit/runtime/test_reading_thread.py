"""A function that hangs stops neither the event loop nor later calls, and occupies one thread."""

import threading

import pytest

from runtime.reading_thread import ReadingThread
from tests.support.wait import eventually

NAME = "test-reading"


async def threads() -> int:
    return sum(each.name == NAME for each in threading.enumerate())


async def test_a_result_or_an_error_comes_from_another_thread() -> None:
    thread = ReadingThread[str](NAME)
    assert await thread.run(lambda: threading.current_thread().name, 5) == NAME
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: str(1 / 0), 5)


async def test_a_function_that_hangs_occupies_one_thread_until_it_ends() -> None:
    thread, hanging = ReadingThread[bool](NAME), threading.Event()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await thread.run(hanging.wait, 0.05)
        assert await threads() == 1
    hanging.set()
    await eventually(threads, until=lambda count: count == 0)
    assert await thread.run(lambda: True, 5)
