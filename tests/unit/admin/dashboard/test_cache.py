"""What the overview remembers: one question for many viewers, and dear ones asked less often."""

import asyncio

import pytest

from services.admin.dashboard.cache import Recent


async def test_viewers_of_one_moment_share_one_answer() -> None:
    asked, kept = 0, Recent()

    async def question() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return asked

    assert await asyncio.gather(*(kept.ask("a", question, 60) for _ in range(10))) == [1] * 10
    assert await kept.ask("b", question, 60) == 2


async def test_a_failure_is_not_remembered() -> None:
    kept = Recent()

    async def fail() -> int:
        raise LookupError

    async def answer() -> int:
        return 1

    with pytest.raises(LookupError):
        await kept.ask("a", fail, 60)
    assert await kept.ask("a", answer, 60) == 1
