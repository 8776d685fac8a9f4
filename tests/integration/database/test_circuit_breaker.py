"""A stage's circuit breaker in several processes, with a real database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtime.database.circuit_breaker import ABANDONED_SECONDS, LIMIT, CircuitBreaker
from runtime.database.postgres import Pool, open_pool
from runtime.failures import DependencyUnavailable
from runtime.settings import Postgres


@pytest.fixture
async def pool(postgres: Postgres) -> AsyncIterator[Pool]:
    async with open_pool(postgres, "test") as opened:
        yield opened


@pytest.fixture(autouse=True)
def check_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.database.circuit_breaker.CHECK_SECONDS", 0)


async def paused(breaker: CircuitBreaker) -> bool:
    try:
        await breaker.check()
    except DependencyUnavailable:
        return True
    return False


async def opened(pool: Pool) -> CircuitBreaker:
    breaker = CircuitBreaker("notifier", pool)
    breaker.count(good=LIMIT, dead=LIMIT - 1)
    assert not await paused(breaker)
    breaker.count(dead=1)
    assert await paused(breaker)
    return breaker


async def test_breaker_opened_by_one_process_stops_stage_until_resumed(pool: Pool, db: Any) -> None:
    others = [CircuitBreaker("notifier", pool), CircuitBreaker("persister", pool)]
    assert [await paused(each) for each in others] == [False, False]
    first = await opened(pool)
    assert [await paused(each) for each in (first, *others)] == [True, True, False]
    await db.execute("UPDATE stage_control SET paused = false")
    assert [await paused(each) for each in (first, *others)] == [False, False, False]


async def test_regression_process_joining_stopped_stage_keeps_it_stopped(pool: Pool, db: Any) -> None:
    # Any start closed it for all: where lag brings more processes, each let another hundred die.
    first = await opened(pool)
    await db.execute("UPDATE stage_control SET changed_at = changed_at - interval '1 hour'")
    assert await paused(first)
    assert await paused(CircuitBreaker("notifier", pool))
    assert await paused(first)


async def test_restart_of_the_owner_closes_breaker(pool: Pool, db: Any) -> None:
    await opened(pool)
    again = CircuitBreaker("notifier", pool)
    assert await paused(again)  # for as long as the one before might still be there
    await db.execute(
        "UPDATE stage_control SET changed_at = changed_at - make_interval(secs => $1)", ABANDONED_SECONDS
    )
    assert not await paused(again)
    assert await db.fetchval("SELECT changed_by FROM stage_control") == "restart"
