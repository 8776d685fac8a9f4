"""A client's stop that fails ends neither its caller nor the caller's other steps."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.workarounds.aiokafka import force_close_consumer, stop_within
from runtime.workarounds.faststream import stop_broker


async def cancel_own_fetch() -> None:
    """End as the close of aiokafka's fetcher does while a fetch is pending."""
    fetch = asyncio.create_task(asyncio.sleep(60))
    fetch.cancel()
    await fetch


async def test_regression_a_stop_that_cancels_itself_is_no_cancellation() -> None:
    with pytest.raises(TimeoutError, match="cancelled its own stop"):
        await stop_within(cancel_own_fetch(), 5)
    broker: Any = SimpleNamespace(stop=cancel_own_fetch)
    assert not await stop_broker(broker, 5)


async def test_regression_a_consumer_whose_fetches_are_cancelled_is_closed() -> None:
    closed = list[str]()

    async def close() -> None:
        closed.append("client")

    consumer: Any = SimpleNamespace(
        _coordinator=None,
        _fetcher=SimpleNamespace(close=cancel_own_fetch),
        _client=SimpleNamespace(close=close),
    )
    await force_close_consumer(consumer, 5)
    assert closed == ["client"]


async def test_a_cancelled_caller_stays_cancelled() -> None:
    stopping = asyncio.create_task(stop_within(asyncio.sleep(60), 30))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert stopping.cancelled()
