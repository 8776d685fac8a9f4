"""Earlier leads reach a new destination once each, although processes die and admins interfere meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead
from tests.support.services.admin import TOKEN, add_leads
from tests.support.services.deliveries import assert_books_balance, finish_bulk, start_bulk
from tests.support.services.processes import ServiceProcess
from tests.support.services.webhooks import VARIABLE, destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client
from tests.support.web.webhook_receiver import SECRET, Receiver, webhook_receiver

LEADS = 300
ORDER: dict[str, Any] = {"action": "send", "destination": "crm", "filter": {}}


async def _store(postgres: Postgres, count: int) -> list[LeadReceived]:
    """Store leads as the persister does. The fixture `db` would encode their JSON twice."""
    leads = [lead() for _ in range(count)]
    connection = await asyncpg.connect(postgres.url.get_secret_value())
    try:
        await add_leads(connection, leads)
    finally:
        await connection.close()
    return leads


@asynccontextmanager
async def _admins(
    count: int, kafka: Kafka, postgres: Postgres, sites: Path, folder: Path
) -> AsyncIterator[list[tuple[ServiceProcess, httpx.AsyncClient]]]:
    """Run admin processes of one installation, each with a client that has a token."""
    variables = {
        "DATABASE_URL": postgres.url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_SITES_FILE": str(sites),
        "FASTCORE_ADMIN_TOKEN": f"ann:{TOKEN}",
        "DEBUG": "true",
        VARIABLE: SECRET,
    }
    processes = [ServiceProcess("admin", variables, folder) for _ in range(count)]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with AsyncExitStack() as stack:
        try:
            for process in processes:
                process.start()
            await asyncio.gather(*(process.ready() for process in processes))
            yield [
                (
                    process,
                    await stack.enter_async_context(plain_client(base_url=process.url, headers=headers)),
                )
                for process in processes
            ]
        finally:
            for process in processes:
                process.kill()


def _ids_of(receiver: Receiver, event: str = "lead.received") -> list[str]:
    return [each["data"]["id"] for each in receiver.events if each["type"] == event]


async def _arrived(receiver: Receiver, count: int) -> None:
    async def ids() -> list[str]:
        return _ids_of(receiver)

    await eventually(ids, until=lambda found: len(found) >= count, seconds=60)


@pytest.mark.timeout(180)
async def test_two_admins_and_a_kill_send_each_lead_once(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = await _store(postgres, LEADS)
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with (
            _admins(2, kafka, postgres, sites, tmp_path) as admins,
            webhooks(kafka, postgres, sites, monkeypatch),
        ):
            (one, first), (_, second) = admins
            order = ORDER | {"per_second": 40}
            both = await asyncio.gather(*(start_bulk(client, **order) for client in (first, second)))
            await _arrived(receiver, LEADS // 6)
            one.kill()
            one.start()
            details = [await finish_bulk(second, each["bulk"]["id"], seconds=90) for each in both]
            await _arrived(receiver, LEADS)
    changed = [detail["results"].get("changed", 0) for detail in details]
    assert sum(changed) == LEADS, "each lead is sent by one of the two"
    assert sorted(_ids_of(receiver)) == sorted(str(each.lead_id) for each in leads)
    assert set(receiver.attempts.values()) == {1}
    assert receiver.unverified == 0
    await assert_books_balance(db)
    entries = "SELECT count(*) FROM audit_log WHERE event = 'delivery.requested'"
    assert await db.fetchval(entries) == LEADS == await db.fetchval("SELECT count(*) FROM webhook_delivery")


@pytest.mark.timeout(180)
async def test_leads_erased_meanwhile_are_unsent_or_reported_as_erased(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = await _store(postgres, 60)
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with (
            _admins(1, kafka, postgres, sites, tmp_path) as ((_, client),),
            webhooks(kafka, postgres, sites, monkeypatch),
        ):
            bulk_id = (await start_bulk(client, **ORDER, per_second=20))["bulk"]["id"]
            await _arrived(receiver, 10)
            erased = {str(each.lead_id) for each in leads[::2]}
            await start_bulk(client, action="erase", ids=sorted(erased))
            assert (await client.post("/admin/destinations/crm/disable")).status_code == 204
            await asyncio.sleep(1.5)
            assert (await client.get(f"/admin/bulk/{bulk_id}")).json()["bulk"]["is_waiting"]
            assert (await client.post("/admin/destinations/crm/enable")).status_code == 204
            detail = await finish_bulk(client, bulk_id)
            open_ = "SELECT count(*) FROM webhook_delivery WHERE state NOT IN ('delivered', 'suppressed')"
            await eventually(lambda: db.fetchval(open_), until=lambda left: left == 0)
    sent = _ids_of(receiver)
    assert {str(each.lead_id) for each in leads} - erased <= set(sent), "the others are all sent"
    assert set(_ids_of(receiver, "lead.erased")) == set(sent) & erased, (
        "who received a lead hears of its erasure"
    )
    assert detail["results"]["refused"] > 0, "what is erased before its turn is not sent"
    assert set(receiver.attempts.values()) == {1}
    order = [(each["type"], each["data"]["id"]) for each in receiver.events]
    for lead_id in set(sent) & erased:
        assert order.index(("lead.received", lead_id)) < order.index(("lead.erased", lead_id))
    await assert_books_balance(db)
