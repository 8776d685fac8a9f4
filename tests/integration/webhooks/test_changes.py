"""Changes of leads reach destinations in order, with a real broker, a real database and a real receiver."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from contracts import topics
from contracts.event_bodies import EVENT_BODY
from contracts.lead_events import LeadChanged
from contracts.leads import LeadReceived
from runtime.database.lead_events import NewEvent
from runtime.settings import Kafka, Postgres
from services.webhooks.events import events_of_change
from tests.support.factories import lead, post, producer, records_of
from tests.support.services.admin import add_leads
from tests.support.services.outbox import publish_changes
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import Receiver, webhook_receiver

ALL = ["lead.received", "lead.updated", "lead.status_changed"]


async def _store(postgres: Postgres, leads: list[LeadReceived], status: str = "received") -> None:
    """Store leads as the persister does. The fixture `db` would encode their JSON twice."""
    connection = await asyncpg.connect(postgres.url.get_secret_value())
    try:
        await add_leads(connection, leads, status)
    finally:
        await connection.close()


async def _set(db: Any, which: LeadReceived, **values: str) -> None:
    """Change a lead as the admin service does."""
    for column, value in values.items():
        await db.execute(
            f"UPDATE lead_inbox SET {column} = $2, updated_at = now() WHERE id = $1", which.lead_id, value
        )


async def _read(db: Any, records: int) -> None:
    await eventually(
        lambda: db.fetchval(
            "SELECT coalesce(sum(next_offset - base_offset), 0) FROM partition_ledger"
            " WHERE stage = 'webhooks' AND next_offset - base_offset = stored"
        ),
        until=lambda read: read == records,
        what="the records",
    )


async def _sent(db: Any) -> None:
    await eventually(
        lambda: db.fetchval("SELECT count(*) FROM webhook_delivery WHERE state <> 'delivered'"),
        until=lambda waiting: waiting == 0,
        what="the deliveries",
    )
    wanted = await db.fetchval("SELECT coalesce(sum(delivery_count), 0) FROM webhook_event")
    assert wanted == await db.fetchval("SELECT count(*) FROM webhook_delivery")


def _types(receiver: Receiver) -> list[str]:
    return [event["type"] for event in receiver.events]


async def test_each_destination_gets_the_changes_that_it_lists_in_order(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead(site="shop", source={"utm_campaign": "spring"}, extra={"budget": 5})
    await _store(postgres, [sent])
    async with webhook_receiver() as crm, webhook_receiver() as chat, webhook_receiver() as status:
        sites = write_sites(
            tmp_path,
            destination("crm", crm.url, events=ALL),
            destination("chat", chat.url),
            destination("status", status.url, events=["lead.status_changed"]),
        )
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, sent)
            await _read(db, 1)
            await _set(db, sent, email="new@example.com", status="processing", assignee="ann")
            await publish_changes(kafka, postgres)
            await _read(db, 4)
            await _sent(db)
    assert _types(crm) == ["lead.received", "lead.updated", "lead.status_changed", "lead.updated"]
    assert (_types(chat), _types(status)) == (["lead.received"], ["lead.status_changed"])
    first, edited, moved, assigned = (event["data"] for event in crm.events)
    assert (first["status"], first["email"], first["assignee"]) == ("received", sent.email, None)
    assert (edited["changed"], edited["email"]) == (["email"], "new@example.com")
    assert (moved["from_status"], moved["to_status"]) == ("received", "processing")
    assert (assigned["changed"], assigned["assignee"]) == (["assignee"], "ann")
    assert (moved["site_name"], moved["extra"]) == ("Shop Nord", {"budget": 5})
    assert moved["source"]["utm_campaign"] == "spring"
    assert crm.unverified == status.unverified == 0


async def test_a_change_that_overtakes_its_lead_brings_the_lead(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead()
    await _store(postgres, [sent])
    await _set(db, sent, status="contacted")
    await publish_changes(kafka, postgres)
    async with webhook_receiver() as crm, webhook_receiver() as chat:
        sites = write_sites(tmp_path, destination("crm", crm.url, events=ALL), destination("chat", chat.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await _read(db, 1)
            await _sent(db)
            assert (_types(crm), _types(chat)) == (["lead.received", "lead.status_changed"], [])
            await post(kafka, sent)  # the lead's own record, which waited
            await _read(db, 2)
            await _sent(db)
    assert (_types(crm), _types(chat)) == (["lead.received", "lead.status_changed"], ["lead.received"])


@pytest.mark.parametrize("reason", ["honeypot", "rate_ip"])
async def test_a_released_lead_is_sent_once(
    kafka: Kafka,
    postgres: Postgres,
    db: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
) -> None:
    sent = lead(spam_reasons=(reason,))
    await _store(postgres, [sent], sent.first_status)
    async with webhook_receiver() as crm, webhook_receiver() as chat:
        sites = write_sites(tmp_path, destination("crm", crm.url, events=ALL), destination("chat", chat.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, sent)
            await _set(db, sent, name="edited while nobody hears of it")
            await _read(db, 1)
            for read, status in enumerate(("received", "spam", "received"), 2):
                await _set(db, sent, status=status)
                await publish_changes(kafka, postgres)
                await _read(db, read)
                await _sent(db)
    assert _types(chat) == ["lead.received"]
    assert _types(crm) == ["lead.received", *["lead.status_changed"] * 3]
    assert crm.events[0]["data"]["name"].startswith("edited")


async def test_spam_between_reading_and_storing_leaves_the_order_of_events(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead(spam_reasons=("honeypot",))
    await _store(postgres, [sent], "spam")

    def mark_as_spam_meanwhile(change: LeadChanged, *of_lead: Any) -> list[NewEvent]:
        if change.to_status == "received":
            with ThreadPoolExecutor() as threads:
                threads.submit(asyncio.run, _mark_as_spam(postgres, sent)).result()
        return events_of_change(change, *of_lead)

    monkeypatch.setattr("services.webhooks.handlers.events_of_change", mark_as_spam_meanwhile)
    await _set(db, sent, status="received")
    await publish_changes(kafka, postgres)
    async with webhook_receiver() as crm:
        sites = write_sites(tmp_path, destination("crm", crm.url, events=ALL))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await _read(db, 1)
            await publish_changes(kafka, postgres)
            await _read(db, 2)
            await _sent(db)
    assert _types(crm) == ["lead.received", *["lead.status_changed"] * 2]


async def _mark_as_spam(postgres: Postgres, which: LeadReceived) -> None:
    connection = await asyncpg.connect(postgres.url.get_secret_value())
    try:
        await _set(connection, which, status="spam")
    finally:
        await connection.close()


async def test_what_is_spam_again_before_it_was_sent_is_not_sent(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, marked = lead(spam_reasons=("honeypot",)), lead()
    await _store(postgres, [released], "spam")
    await _store(postgres, [marked])
    await _set(db, released, status="received")
    await _set(db, released, status="spam")
    await _set(db, marked, status="spam")
    await publish_changes(kafka, postgres)
    async with webhook_receiver() as crm:
        sites = write_sites(tmp_path, destination("crm", crm.url, events=ALL))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, released, marked)
            await _read(db, 5)
    assert crm.bodies == []
    assert await db.fetchval("SELECT count(*) FROM webhook_event") == 0


async def test_nothing_follows_an_erasure_and_it_comes_last(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead()
    await _store(postgres, [sent])
    async with webhook_receiver() as crm:
        sites = write_sites(tmp_path, destination("crm", crm.url, events=ALL))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, sent)
            await _read(db, 1)
            await _sent(db)
            await _set(db, sent, status="won", name="never sent")
            await db.execute("SELECT erase_lead($1, 'ann')", sent.lead_id)
            await publish_changes(kafka, postgres)
            await _read(db, 3)
            await _sent(db)
    assert _types(crm) == ["lead.received", "lead.erased"]
    for body in crm.bodies:
        EVENT_BODY.validate_json(body)
    assert "never sent" not in "".join(crm.bodies)
    bodies = await db.fetchval("SELECT count(*) FROM webhook_event WHERE body LIKE '%ada-%'")
    assert bodies == 0


async def test_a_change_that_is_none_is_dead_and_delays_nothing(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead()
    await _store(postgres, [sent])
    await _set(db, sent, status="won")
    async with webhook_receiver() as crm:
        sites = write_sites(tmp_path, destination("crm", crm.url, events=ALL))
        async with webhooks(kafka, postgres, sites, monkeypatch), producer(kafka) as sender:
            topic = kafka.topic_prefix + topics.CHANGED.name
            wrong = b'{"type": "lead.status_changed", "lead_id": "%s"}' % str(sent.lead_id).encode()
            await sender.send_and_wait(topic, key=str(sent.lead_id).encode(), value=wrong)
            await publish_changes(kafka, postgres)
            await eventually(
                lambda: db.fetchval("SELECT sum(undecodable) FROM partition_ledger"), until=lambda n: n == 1
            )
            await _sent(db)
            await eventually(lambda: db.fetchval("SELECT count(delivered_at) FROM webhook_delivery"))
    (failed,) = await records_of(kafka, topics.FAILED.name)
    assert failed.value == wrong


async def test_a_repeated_change_is_one_event(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead()
    await _store(postgres, [sent])
    await _set(db, sent, status="won")
    event_id: UUID = await db.fetchval("SELECT event_id FROM lead_event_outbox")
    async with webhook_receiver() as crm:
        sites = write_sites(tmp_path, destination("crm", crm.url, events=["lead.status_changed"]))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            for _ in range(3):
                await publish_changes(kafka, postgres)
                await db.execute(
                    "INSERT INTO lead_event_outbox (event_id, type, lead_id, site, from_status, to_status)"
                    " VALUES ($1, 'lead.status_changed', $2, 'default', 'received', 'won')",
                    event_id,
                    sent.lead_id,
                )
            await _read(db, 3)
            await _sent(db)
    assert [event["id"] for event in crm.events] == [str(event_id)]
    assert set(crm.attempts.values()) == {1}
