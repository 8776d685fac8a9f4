"""Processes of the service are killed while they send; a receiver fails and hangs. Nothing is lost."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.services.processes import ServiceProcess
from tests.support.services.webhooks import VARIABLE, destination, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import SECRET, webhook_receiver

LEADS = 1000
KILLS = 6


@pytest.mark.timeout(240)
async def test_every_lead_arrives_although_processes_are_killed(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    rng = random.Random(17)
    seen = set[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        event_id = request.headers["webhook-id"]
        first = event_id not in seen
        seen.add(event_id)
        if first and rng.random() < 0.03:
            return web.Response(status=500)
        if first and rng.random() < 0.01:
            await asyncio.sleep(3)  # longer than the service waits
        await asyncio.sleep(0.01)
        return web.Response()

    leads = [lead() for _ in range(LEADS)]
    async with webhook_receiver() as receiver:
        receiver.answer = answer
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        variables = {
            "DATABASE_URL": postgres.url.get_secret_value(),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "FASTCORE_SITES_FILE": str(sites),
            "FASTCORE_WEBHOOKS_TIMEOUT_SECONDS": "2",
            # A kill during a request uses up a retry. With the default waits, the next failure of that
            # delivery, such as a timeout on a busy machine, would be retried after five minutes.
            "FASTCORE_WEBHOOKS_RETRY_WAITS_SECONDS": "1,1,2,2,5,5,5,5,5,5",
            VARIABLE: SECRET,
        }
        services = [ServiceProcess("webhooks", variables, tmp_path) for _ in range(2)]
        try:
            for service in services:
                service.start()
            await asyncio.gather(*(service.ready() for service in services))
            await post(kafka, *leads)
            for number in range(KILLS):
                await asyncio.sleep(rng.random() * 1.5)
                killed = services[number % 2]
                killed.kill()
                killed.start()

            async def arrived() -> int:
                return len(receiver.events)

            await eventually(arrived, until=lambda count: count >= LEADS, seconds=150, every=0.5)
            await eventually(
                lambda: db.fetchval("SELECT count(*) FROM webhook_delivery WHERE state <> 'delivered'"),
                until=lambda open_deliveries: open_deliveries == 0,
                seconds=60,
                every=0.5,
            )
        finally:
            for service in services:
                service.kill()
    assert {event["data"]["id"] for event in receiver.events} == {str(each.lead_id) for each in leads}
    assert {len(contents) for contents in receiver.contents.values()} == {1}
    assert receiver.unverified == 0
    rows = await db.fetchrow("SELECT count(*) AS deliveries, sum(attempts) AS attempts FROM webhook_delivery")
    assert rows["deliveries"] == await db.fetchval("SELECT sum(delivery_count) FROM webhook_event") == LEADS
    # Every request that arrived was counted before it was sent.
    assert rows["attempts"] >= sum(receiver.attempts.values())
    balanced = (
        "SELECT bool_and(next_offset - base_offset = stored) FROM partition_ledger WHERE stage = 'webhooks'"
    )
    assert await db.fetchval(balanced)
