"""Flushers and webhooks processes are killed while leads change. No change is lost, and the order is kept."""

import asyncio
import random
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.services.admin import add_leads
from tests.support.services.processes import ServiceProcess
from tests.support.services.webhooks import VARIABLE, destination, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import SECRET, webhook_receiver

LEADS = 100
STEPS = ("received", "processing", "contacted", "won")


@pytest.mark.timeout(240)
async def test_each_change_arrives_in_order_although_processes_are_killed(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    rng = random.Random(17)
    leads = [lead() for _ in range(LEADS)]
    writer = await asyncpg.connect(postgres.url.get_secret_value())
    await add_leads(writer, leads)
    async with webhook_receiver() as crm:
        events = ["lead.received", "lead.status_changed"]
        sites = write_sites(tmp_path, destination("crm", crm.url, events=events))
        variables = {
            "DATABASE_URL": postgres.url.get_secret_value(),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "FASTCORE_SITES_FILE": str(sites),
            "FASTCORE_WEBHOOKS_TIMEOUT_SECONDS": "2",
            "DEBUG": "true",
            VARIABLE: SECRET,
        }
        names = ("flusher", "flusher", "webhooks")
        services = [ServiceProcess(name, variables, tmp_path) for name in names]
        try:
            for service in services:
                service.start()
            await asyncio.gather(*(service.ready() for service in services))

            async def change() -> None:
                for step in STEPS[1:]:
                    for each in rng.sample(leads, LEADS):
                        await writer.execute(
                            "UPDATE lead_inbox SET status = $2 WHERE id = $1", each.lead_id, step
                        )
                        await asyncio.sleep(0.03)

            changing = asyncio.create_task(change())
            await post(kafka, *leads)  # while their changes are already on their way
            for number in range(6):
                await asyncio.sleep(rng.random() * 1.5)
                killed = services[number % 3]
                killed.kill()
                killed.start()
            await changing

            async def arrived() -> int:
                return len(crm.events)

            await eventually(arrived, until=lambda n: n >= LEADS * len(STEPS), seconds=120, every=0.5)
        finally:
            await writer.close()
            for service in services:
                service.kill()
    order = dict[str, list[str]]()
    for event in crm.events:
        step = event["data"].get("to_status") or "received"
        order.setdefault(event["data"]["id"], []).append(step)
    assert order == {str(each.lead_id): list(STEPS) for each in leads}
    assert {len(contents) for contents in crm.contents.values()} == {1}
    assert await db.fetchval("SELECT count(*) FROM lead_event_outbox") == 0
    assert await db.fetchval("SELECT sum(delivery_count) FROM webhook_event") == LEADS * len(STEPS)
