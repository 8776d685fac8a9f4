"""Failed team notifications reach a webhook and a chat once, although processes die at each step."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from runtime.settings import Kafka, Postgres
from tests.integration.flusher.test_alert_escalation import add_alerts
from tests.integration.webhooks.test_change_kills import _die
from tests.support.services.processes import ServiceProcess
from tests.support.services.webhooks import VARIABLE, destination, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import SECRET, webhook_receiver

ALERT_FAILED = ["lead.alert_failed"]


@pytest.mark.timeout(300)
async def test_160_failed_notifications_reach_each_destination_once(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    refused = set[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        """Refuse the first request."""
        if request.path in refused:
            return web.Response()
        refused.add(request.path)
        return web.Response(status=500)

    dead = await add_alerts(db, 160, "dead")
    other = await add_alerts(db, 2, "dead", site="default")
    async with webhook_receiver() as crm, webhook_receiver() as chat, webhook_receiver() as plain:
        crm.answer = chat.answer = answer
        sites = write_sites(
            tmp_path,
            destination("crm", crm.url, events=ALERT_FAILED),
            destination("chat", chat.url, kind="slack", secret=None, sites=["shop"]),
            destination("plain", plain.url),
        )
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
        flusher = ServiceProcess("flusher", variables, tmp_path)
        webhooks = ServiceProcess("webhooks", variables, tmp_path)
        try:
            for place in ("alerts reported", "event published", "event deleted"):
                await _die(flusher, place)
            flusher.start()
            for place in ("deliveries stored", "offset commit", "request", "outcome stored"):
                await _die(webhooks, place)
            webhooks.start()

            async def delivered() -> dict[str, int]:
                await db.execute("UPDATE webhook_destination SET paused_until = NULL, failures = 0")
                rows = await db.fetch(
                    "SELECT destination, count(*) AS n FROM webhook_delivery WHERE state = 'delivered'"
                    " GROUP BY destination"
                )
                return {row["destination"]: row["n"] for row in rows}

            await eventually(delivered, until={"crm": 2, "chat": 1}.__eq__, seconds=120, every=0.5)
        finally:
            for service in (flusher, webhooks):
                if service.process and service.process.poll() is None:
                    service.kill()
    by_site = {event["data"]["site"]: event for event in crm.events}
    assert len(crm.events) == len(by_site) == 2
    data = by_site["shop"]["data"]
    assert (by_site["shop"]["type"], data["count"], data["site_name"]) == (*ALERT_FAILED, 160, "Shop Nord")
    assert {UUID(each["id"]) for each in data["leads"]} == set(dead)
    assert {UUID(each["id"]) for each in by_site["default"]["data"]["leads"]} == set(other)
    assert crm.unverified == 0
    # A chat has no id to recognize a repetition by, so a message may be sent again after a crash.
    assert {json.loads(body)["text"] for body in chat.bodies} == {
        "Nobody received the emails about 160 new leads"
    }
    assert plain.bodies == []
    assert "550 5.7.1 sender not allowed" in chat.bodies[0]
    assert await db.fetchval("SELECT count(*) FROM escalated_alert") == 162
    assert await db.fetchval("SELECT count(*) FROM webhook_event WHERE type = 'lead.alert_failed'") == 2
