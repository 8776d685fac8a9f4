"""Rate limits, accepted leads and the spool's limits of several workers, each in its own objects."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from runtime.http.rate_limiter import RateLimiter
from runtime.worker import Worker
from services.ingest.idempotency_cache import CachedResponse, IdempotencyCache
from services.ingest.single_use import SingleUse
from services.ingest.spool.spool import Spool
from services.ingest.spool.totals import SpoolTotals, clear_total
from services.ingest.workers import broadcast as module
from services.ingest.workers.broadcast import Broadcast
from services.ingest.workers.gateway_worker import GatewayWorker
from services.ingest.workers.shared_limits import share_accepted_leads, share_limits, share_used_keys
from tests.support.wait import eventually

LEAD = UUID(int=1)


def worker(folder: Path, number: int) -> Worker:
    return Worker(number, 2, folder, (), -1)


@asynccontextmanager
async def two_broadcasts(folder: Path) -> AsyncIterator[tuple[Broadcast, Broadcast]]:
    one, other = Broadcast(worker(folder, 1)), Broadcast(worker(folder, 2))
    async with one.run(), other.run():
        yield one, other


def remaining(limiter: RateLimiter, key: str) -> Callable[[], Awaitable[int]]:
    async def read() -> int:
        return limiter.remaining(key)

    return read


async def test_hits_at_one_worker_count_at_the_other(tmp_path: Path) -> None:
    limiters = [RateLimiter(3, 60), RateLimiter(3, 60)]
    async with two_broadcasts(tmp_path) as broadcasts:
        for broadcast, limiter in zip(broadcasts, limiters, strict=True):
            share_limits(broadcast, {"token": limiter}, lambda: 5.0)
        assert limiters[0].allow("www", 5)
        assert limiters[0].allow("www", 5, LEAD)
        await eventually(remaining(limiters[1], "www"), until=lambda n: n == 1)
        assert limiters[1].allow("www", 5, LEAD)  # the same lead does not count twice
        assert limiters[1].allow("www", 5)
        assert not limiters[1].allow("www", 5)
        await eventually(remaining(limiters[0], "www"), until=lambda n: n == 0)
        assert not limiters[0].allow("www", 5)
        assert limiters[0].allow("www", 66)


async def test_accepted_lead_is_known_to_the_other_worker(tmp_path: Path) -> None:
    caches = [IdempotencyCache(), IdempotencyCache()]
    async with two_broadcasts(tmp_path) as broadcasts:
        for broadcast, cache in zip(broadcasts, caches, strict=True):
            share_accepted_leads(broadcast, cache)
        caches[0].add(LEAD, CachedResponse("digest", "time"))

        async def known() -> CachedResponse | None:
            return caches[1].get(LEAD)

        assert await eventually(known) == CachedResponse("digest", "time")


async def test_solved_captcha_of_one_worker_is_used_at_the_other(tmp_path: Path) -> None:
    memories = [SingleUse(), SingleUse()]
    async with two_broadcasts(tmp_path) as broadcasts:
        for broadcast, memory in zip(broadcasts, memories, strict=True):
            share_used_keys(broadcast, {"captcha": memory})
        assert memories[0].use("answer", "lead")

        async def user() -> str | None:
            return memories[1].user("answer")

        assert await eventually(user) == "lead"
        assert memories[1].use("answer", "lead")
        assert not memories[1].use("answer", "another lead")


async def test_messages_wait_for_a_worker_that_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MESSAGES_PER_DATAGRAM", 1)
    received = list[int]()
    async with two_broadcasts(tmp_path) as (one, other):
        other.subscribe("number", received.append)
        for number in range(900):  # more than the queue of a socket holds
            one.send("number", number)

        async def read() -> list[int]:
            return received

        assert await eventually(read, until=lambda found: len(found) == 900) == list(range(900))


async def test_dead_worker_holds_up_nobody(tmp_path: Path) -> None:
    one = Broadcast(worker(tmp_path, 1))
    async with one.run():
        one.send("number", 1)
        one._flush()
        assert not any(one._backlogs.values())


def test_spool_totals_are_those_of_all_workers(tmp_path: Path) -> None:
    one, other = SpoolTotals(worker(tmp_path, 1)), SpoolTotals(worker(tmp_path, 2))
    one.write(3, 300)
    other.write(4, 400)
    assert one.read() == other.read() == (7, 700)
    successor = SpoolTotals(worker(tmp_path, 2))
    assert successor.read() == (3, 300)
    for totals in (one, other, successor):
        totals.close()


async def test_full_queue_of_a_worker_is_retried_by_one_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retries = 0
    send_backlogs = Broadcast._retry_backlogs

    def count(broadcast: Broadcast) -> None:
        nonlocal retries
        retries += 1
        send_backlogs(broadcast)

    monkeypatch.setattr(Broadcast, "_retry_backlogs", count)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hanging:  # it reads nothing
        hanging.bind(str(tmp_path / "2.messages"))
        one = Broadcast(worker(tmp_path, 1))
        async with one.run():
            for turn in range(2000):  # more than the kernel queues
                one.send("channel", turn, "x" * 1000)
                await asyncio.sleep(0)
            retries = 0
            await asyncio.sleep(0.2)
    assert 1 <= retries <= 21


def test_total_of_a_dead_worker_is_cleared(tmp_path: Path) -> None:
    one, other = SpoolTotals(worker(tmp_path, 1)), SpoolTotals(worker(tmp_path, 2))
    one.write(3, 300)
    other.write(4, 400)
    clear_total(tmp_path, 1)
    assert other.read() == (4, 400)
    clear_total(tmp_path / "gone", 1)
    one.close()
    other.close()


async def test_health_and_status_of_a_worker_are_read_at_the_same_time(tmp_path: Path) -> None:
    reading_status = asyncio.Event()

    async def read_status() -> dict[str, Any]:
        reading_status.set()
        return {}

    class Readiness:
        async def refresh(self) -> None:
            await asyncio.wait_for(reading_status.wait(), 5)

        def report(self) -> dict[str, object]:
            return {"ready": True}

    gateway_worker = GatewayWorker(
        worker(tmp_path, 1), cast("Any", Readiness()), Spool(tmp_path, 1000, 10), read_status
    )
    assert await gateway_worker._own_state() == {"readiness": {"ready": True}, "status": {}}
