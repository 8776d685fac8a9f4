"""How the bench runs its programs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.bench.environment import started_together
from tests.support.services.processes import ServiceProcess

SECONDS = 10


class Programs:
    """Programs that become ready only when all of them have been started."""

    def __init__(self, count: int) -> None:
        self.all_started = asyncio.Barrier(count)
        self.running = set[str]()

    @contextlib.asynccontextmanager
    async def run(self, name: str, *, breaks: bool = False) -> AsyncIterator[ServiceProcess]:
        self.running.add(name)
        try:
            async with asyncio.timeout(SECONDS):
                await self.all_started.wait()
            if breaks:
                raise RuntimeError(f"{name} ended")
            yield cast("ServiceProcess", SimpleNamespace(name=name))
        finally:
            self.running.discard(name)


async def test_programs_start_at_the_same_time_and_stop_at_the_end() -> None:
    programs = Programs(3)
    async with started_together(*(programs.run(name) for name in "abc")) as started:
        assert [process.name for process in started] == ["a", "b", "c"]
        assert programs.running == {"a", "b", "c"}
    assert programs.running == set()


async def test_programs_are_stopped_if_one_of_them_cannot_start() -> None:
    programs = Programs(3)
    others: Any = (programs.run(name) for name in "ab")
    with pytest.raises(ExceptionGroup) as seen:
        async with started_together(*others, programs.run("c", breaks=True)):
            pytest.fail("one is missing")
    assert seen.group_contains(RuntimeError, match="c ended")
    assert programs.running == set()
