"""A dead destination and a slow one do not hold up a good one."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, producer
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import webhook_receiver

RATE, SECONDS = 100, 6


async def test_a_good_destination_is_not_held_up_by_others(
    kafka: Kafka, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(2)
        return web.Response()

    waits: list[float] = []

    async def accept(request: web.Request) -> web.StreamResponse:
        sent = datetime.fromisoformat((await request.json())["timestamp"])
        waits.append((datetime.now(UTC) - sent).total_seconds())
        return web.Response()

    async with webhook_receiver() as good, webhook_receiver() as slowly:
        good.answer, slowly.answer = accept, slow
        sites = write_sites(
            tmp_path,
            destination("good", good.url),
            destination("slow", slowly.url),
            destination("dead", "http://127.0.0.1:9/"),
        )
        async with webhooks(kafka, postgres, sites, monkeypatch), producer(kafka) as sender:
            began = time.monotonic()
            for number in range(RATE * SECONDS):
                await asyncio.sleep(max(0, began + number / RATE - time.monotonic()))
                each = lead(occurred_at=datetime.now(UTC))
                await sender.send(
                    f"{kafka.topic_prefix}leads.received.v1",
                    key=str(each.lead_id).encode(),
                    value=each.model_dump_json().encode(),
                )

            async def arrived() -> int:
                return len(waits)

            await eventually(arrived, until=lambda count: count >= RATE * SECONDS, seconds=30)
    waits.sort()
    p99 = waits[int(len(waits) * 0.99)]
    # 500 ms is the goal on a quiet machine. Behind the slow destination, 600 leads would need 150 s.
    assert p99 < 15
