"""Flushers and webhooks die at each step while leads change. No change is lost, and the order is kept."""

import asyncio
import random
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.services.admin import add_leads
from tests.support.services.processes import ServiceProcess
from tests.support.services.webhooks import VARIABLE, destination, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import SECRET, Receiver, webhook_receiver

LEADS = 60
STEPS = ("received", "processing", "contacted", "won", "lost")


async def _change(writer: Any, *steps: str) -> None:
    """Change all leads at once: the events of one lead wait beside each other."""
    for step in steps:
        await writer.execute("UPDATE lead_inbox SET status = $1", step)


async def _die(service: ServiceProcess, place: str) -> None:
    """Let a service run until it kills itself before this step, then start it as usual."""
    program = service.program
    service.program = ("tests.faults.injections.failpoint", service.name, place)
    service.start()

    async def ended() -> int | None:
        assert service.process
        return service.process.poll()

    code = await eventually(
        ended, until=lambda found: found is not None, seconds=40, what=f"death at: {place}"
    )
    assert code == -9, service.log.read_text()[-2000:]
    service.program = program


@pytest.mark.timeout(300)
async def test_each_change_arrives_in_order_although_processes_die_at_each_step(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    rng = random.Random(17)
    refused = set[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        """Refuse the first request of every fifth event: later events of its lead could overtake it."""
        event_id = request.headers["webhook-id"]
        if event_id not in refused and rng.random() < 0.2:
            refused.add(event_id)
            return web.Response(status=500)
        await asyncio.sleep(rng.random() / 20)
        return web.Response()

    leads = [lead() for _ in range(LEADS)]
    writer = await asyncpg.connect(postgres.url.get_secret_value())
    await add_leads(writer, leads)
    async with webhook_receiver() as crm:
        crm.answer = answer
        events = ["lead.received", "lead.status_changed"]
        sites = write_sites(tmp_path, destination("crm", crm.url, events=events))
        variables = {
            "DATABASE_URL": postgres.url.get_secret_value(),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "FASTCORE_SITES_FILE": str(sites),
            "FASTCORE_WEBHOOKS_TIMEOUT_SECONDS": "2",
            "FASTCORE_WEBHOOKS_RETRY_WAITS_SECONDS": ",".join(["1"] * 30),
            "DEBUG": "true",
            VARIABLE: SECRET,
        }
        flushers = [ServiceProcess("flusher", variables, tmp_path) for _ in range(2)]
        webhooks = ServiceProcess("webhooks", variables, tmp_path)
        try:
            await _change(writer, "processing")
            await _die(flushers[0], "event published")
            await _die(flushers[0], "event deleted")
            for flusher in flushers:
                flusher.start()
            await post(kafka, *leads)  # behind their first change
            await _change(writer, "contacted", "won")
            for place in ("deliveries stored", "offset commit", "request", "outcome stored"):
                await _die(webhooks, place)
            webhooks.start()
            await _change(writer, "lost")
            await _all_arrived(db, crm)
        finally:
            await writer.close()
            for service in (*flushers, webhooks):
                if service.process and service.process.poll() is None:
                    service.kill()
    _check(crm, leads)
    assert refused
    assert await db.fetchval("SELECT count(*) FROM lead_event_outbox") == 0
    assert await db.fetchval("SELECT sum(delivery_count) FROM webhook_event") == LEADS * len(STEPS)


async def _all_arrived(db: Any, crm: Receiver) -> None:
    """Wait for all events. A pause after failures in a row is ended, as an admin would."""

    async def arrived() -> int:
        await db.execute(
            "UPDATE webhook_destination SET paused_until = NULL, paused_since = NULL, failures = 0"
        )
        return len(crm.events)

    await eventually(arrived, until=lambda n: n >= LEADS * len(STEPS), seconds=150, every=0.5)


def _check(crm: Receiver, leads: list[LeadReceived]) -> None:
    order = dict[str, list[str]]()
    for event in crm.events:
        step = event["data"].get("to_status") or "received"
        order.setdefault(event["data"]["id"], []).append(step)
    assert order == {str(each.lead_id): list(STEPS) for each in leads}
    assert {len(contents) for contents in crm.contents.values()} == {1}
    assert crm.unverified == 0
