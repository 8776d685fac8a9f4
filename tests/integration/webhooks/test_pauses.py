"""Pauses, rate limits and slow answers: one never does more than it should, with real servers."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from runtime.sites.file import read_sites
from services.admin.store.deliveries.destinations import Destinations as AdminDestinations
from services.webhooks.attempts import NextState
from services.webhooks.client import open_client
from services.webhooks.destinations import Destinations
from services.webhooks.outcome import Outcome, Result
from services.webhooks.retry_schedule import RetrySchedule
from services.webhooks.sender import Sender
from services.webhooks.store import SQL, Store
from tests.support.factories import lead, post
from tests.support.services.webhooks import VARIABLE, destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import SECRET, Receiver, webhook_receiver

LEASE = timedelta(seconds=60)


async def _fill(db: Any, name: str, count: int, body: str | None, state: str = "pending") -> None:
    """Insert events with a delivery each; those that are `sending` have an expired lease."""
    await db.execute("INSERT INTO webhook_destination (name) VALUES ($1) ON CONFLICT DO NOTHING", name)
    ids = [uuid4() for _ in range(count)]
    await db.execute(
        "INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count)"
        " SELECT id, 'lead.received', id, 'default', now(), $2, 1 FROM unnest($1::uuid[]) AS events (id)",
        ids,
        body,
    )
    await db.execute(
        "INSERT INTO webhook_delivery"
        " (event_id, destination, lead_id, position, state, owner, lease_until, attempts)"
        " SELECT id, $1, lead_id, position, $2, gen_random_uuid(), now() - interval '1 second', 1"
        " FROM webhook_event WHERE id = ANY($3)",
        name,
        state,
        ids,
    )


async def _arrived(receiver: Receiver, count: int, seconds: float = 20) -> None:
    async def bodies() -> int:
        return len(receiver.bodies)

    await eventually(bodies, until=lambda found: found >= count, seconds=seconds)


async def test_a_slow_answer_does_not_stop_its_own_destination(
    kafka: Kafka, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:

        async def answer(_: web.Request) -> web.StreamResponse:
            if len(receiver.bodies) == 1:
                await asyncio.sleep(9)
            return web.Response()

        receiver.answer = answer
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, lead())
            await _arrived(receiver, 1)
            began = time.monotonic()
            await post(kafka, *[lead() for _ in range(5)])
            await _arrived(receiver, 6, seconds=30)
            assert time.monotonic() - began < 7


async def test_a_success_does_not_cancel_the_wait_of_a_rate_limit(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:

        async def answer(_: web.Request) -> web.StreamResponse:
            if len(receiver.bodies) == 1:
                return web.Response(status=429, headers={"Retry-After": "30"})
            await asyncio.sleep(1)
            return web.Response()

        receiver.answer = answer
        await _fill(db, "crm", 40, '{"type":"lead.received"}')
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await _arrived(receiver, 1)
            await asyncio.sleep(4)
            wait = await db.fetchval("SELECT paused_until - now() FROM webhook_destination")
    assert wait > timedelta(seconds=20)
    assert len(receiver.bodies) <= 16


async def test_a_rate_limited_probe_waits_no_longer_than_retry_after(
    kafka: Kafka, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=429, headers={"Retry-After": "1"})

        receiver.answer = answer
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, lead())
            await _arrived(receiver, 3, seconds=20)


async def test_regression_a_rate_limit_that_an_admin_ends_holds_no_delivery(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.webhooks.sender.RATE_LIMIT_PAUSE", timedelta(seconds=1))
    async with webhook_receiver() as receiver:

        async def answer(_: web.Request) -> web.StreamResponse:
            if len(receiver.bodies) == 1:
                return web.Response(status=429, headers={"Retry-After": "3600"})
            return web.Response()

        receiver.answer = answer
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, lead())
            await eventually(lambda: db.fetchval("SELECT paused_until FROM webhook_destination"))
            async with open_pool(postgres, "admin") as pool:
                await AdminDestinations(pool).enable("crm", {"crm": "webhook"}, "ada")
            await _arrived(receiver, 2, seconds=10)


async def test_eight_failures_at_once_begin_the_shortest_pause(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:

        async def answer(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.5)
            return web.Response(status=500)

        receiver.answer = answer
        await _fill(db, "crm", 30, '{"type":"lead.received"}')
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await eventually(lambda: db.fetchval("SELECT paused_until FROM webhook_destination"))
            await asyncio.sleep(2)
            wait = await db.fetchval("SELECT paused_until - now() FROM webhook_destination")
    assert wait < timedelta(seconds=75)


async def test_two_processes_together_claim_no_more_than_eight(postgres: Postgres, db: Any) -> None:
    await _fill(db, "crm", 40, "{}")
    async with open_pool(postgres, "a") as first, open_pool(postgres, "b") as second:
        store = Store(second, Ledger("webhooks"), LEASE)
        async with first.acquire() as connection:
            change = connection.transaction()
            await change.start()
            await SQL.lock_destination(connection, name="crm")
            other = asyncio.create_task(store.claim("crm", 8, timedelta(0)))
            await asyncio.sleep(0.5)
            rows = SQL.claim_deliveries(connection, name="crm", owner=uuid4(), lease=LEASE, limit=8)
            assert len([row async for row in rows]) == 8
            await change.commit()
        assert await other == []


async def test_a_corrected_destination_is_tried_at_once(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", f"{receiver.url}/mistake"))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await eventually(
                lambda: db.fetchval("SELECT count(*) FROM webhook_destination"),
                until=lambda count: count == 1,
            )
            await db.execute(
                "UPDATE webhook_destination"
                " SET failures = 5, paused_since = now(), paused_until = now() + interval '1 h'"
            )
            await post(kafka, lead())
            await asyncio.sleep(2)
            assert receiver.bodies == []
            write_sites(tmp_path, destination("crm", receiver.url))
            await _arrived(receiver, 1)
    assert await db.fetchval("SELECT failures FROM webhook_destination WHERE paused_until IS NULL") == 0


async def test_what_was_erased_in_flight_is_neither_sent_nor_a_failure(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:
        await _fill(db, "crm", 6, None, state="sending")
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await eventually(
                lambda: db.fetchval("SELECT count(*) FROM webhook_delivery WHERE state = 'suppressed'"),
                until=lambda count: count == 6,
            )
    assert receiver.bodies == []
    assert await db.fetchval("SELECT failures FROM webhook_destination") == 0


async def test_a_template_that_fails_for_some_leads_pauses_nothing(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:
        api = destination("api", receiver.url, kind="http", secret=None, body="{{ lead.extra.budget }}")
        async with webhooks(kafka, postgres, write_sites(tmp_path, api), monkeypatch):
            await post(kafka, *[lead(extra={}) for _ in range(6)])
            failed = "SELECT count(*) FROM webhook_delivery WHERE state = 'failed'"
            await eventually(lambda: db.fetchval(failed), until=lambda count: count == 6)
            await post(kafka, lead(extra={"budget": 5000}))
            await _arrived(receiver, 1)
    assert receiver.bodies == ["5000"]


async def test_a_suspended_process_sends_and_records_nothing_late(
    postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(db, "crm", 1, '{"type":"lead.received"}')
    monkeypatch.setenv(VARIABLE, SECRET)
    async with (
        webhook_receiver() as receiver,
        open_pool(postgres, "a") as pool,
        open_client(0.1) as client,
    ):
        sites = read_sites(write_sites(tmp_path, destination("crm", receiver.url)))
        destinations = Destinations(sites, dict(os.environ))
        store = Store(pool, Ledger("webhooks"), timedelta(seconds=0.3))
        sender = Sender(store, client, destinations, RetrySchedule([timedelta(seconds=5)]))
        (late,) = await store.claim("crm", 8, timedelta(0))
        await asyncio.sleep(0.5)
        (current,) = await store.claim("crm", 8, timedelta(0))
        await sender._deliver(destinations.by_name["crm"], late)
        assert receiver.bodies == []
        done = NextState("delivered", 0)
        assert not await store.record_outcome(late, done, Outcome(Result.DELIVERED, 200))
        assert await store.record_outcome(current, done, Outcome(Result.DELIVERED, 200))


async def test_a_delivery_whose_process_always_dies_ends_as_dead(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(db, "crm", 1, '{"type":"lead.received"}', state="sending")
    await db.execute("UPDATE webhook_delivery SET retries = 9")
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await eventually(lambda: db.fetchval("SELECT state = 'dead' FROM webhook_delivery"))
    assert receiver.bodies == []


async def test_an_erasure_leaves_no_sample_of_a_body_in_the_statistics(db: Any, database: Any) -> None:
    await _fill(db, "crm", 200, '{"email":"ada@example.com"}')
    await db.execute("ANALYZE webhook_event, webhook_delivery")
    samples = await db.fetchval(
        "SELECT count(*) FROM pg_stats WHERE tablename LIKE 'webhook%' AND attname IN ('body', 'response')"
    )
    assert samples == 0


async def test_the_tombstone_of_an_unstored_lead_empties_its_events(db: Any) -> None:
    await _fill(db, "crm", 1, "{}", state="delivered")
    known = await db.fetchval("SELECT lead_id FROM webhook_event")
    assert await db.fetchval("SELECT erase_lead($1, 'ann')", known) is not None
    events = await db.fetch("SELECT type, body IS NULL AS empty, site FROM webhook_event ORDER BY position")
    assert [tuple(row.values()) for row in events] == [
        ("lead.received", True, "default"),
        ("lead.erased", False, "default"),
    ]
