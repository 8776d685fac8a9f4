"""Leads reach their destinations, with a real broker, a real database and a real receiver."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import Receiver, webhook_receiver


def _answer(status: int, times: int = 10**6, **headers: str) -> Any:
    left = [times]

    async def respond(_: web.Request) -> web.StreamResponse:
        left[0] -= 1
        if left[0] < 0:
            return web.Response()
        return web.Response(status=status, headers=headers, text="no")

    return respond


async def _arrived(receiver: Receiver, count: int, seconds: float = 20) -> list[dict[str, Any]]:
    async def events() -> list[dict[str, Any]]:
        return receiver.events

    return await eventually(events, until=lambda found: len(found) >= count, seconds=seconds)


async def test_a_lead_reaches_its_destination_signed(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead(site="shop", phone="+44 20 7946 0000", extra={"budget": 5000})
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, sent)
            (event,) = await _arrived(receiver, 1)
            row = await eventually(
                lambda: db.fetchrow("SELECT * FROM webhook_delivery WHERE state = 'delivered'")
            )
    assert receiver.unverified == 0
    assert (event["type"], event["data"]["id"]) == ("lead.received", str(sent.lead_id))
    assert event["data"]["email"] == sent.email
    assert event["data"]["site_name"] == "Shop Nord"
    assert event["data"]["extra"] == {"budget": 5000}
    assert (row["status_code"], row["response"], row["attempts"]) == (200, "thank you", 1)
    assert 0 <= row["duration_ms"] < 15_000


async def test_each_lead_arrives_once_at_each_destination_that_wants_it(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = [lead(site="shop" if number % 2 else "default") for number in range(60)]
    spam, held = lead(spam_reasons=("honeypot",)), lead(spam_reasons=("rate_ip",))
    async with webhook_receiver() as all_sites, webhook_receiver() as shop:
        sites = write_sites(
            tmp_path, destination("crm", all_sites.url), destination("shop", shop.url, sites=["shop"])
        )
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, *leads, spam, held, *leads[:10])
            await _arrived(all_sites, 60)
            await _arrived(shop, 30)
            await eventually(
                lambda: db.fetchval("SELECT sum(next_offset - base_offset) FROM partition_ledger"),
                until=lambda counted: counted == 72,
            )
    assert {event["data"]["id"] for event in all_sites.events} == {str(each.lead_id) for each in leads}
    assert {event["data"]["site"] for event in shop.events} == {"shop"}
    assert set(all_sites.attempts.values()) == {1}
    wanted = await db.fetchval("SELECT sum(delivery_count) FROM webhook_event")
    assert wanted == await db.fetchval("SELECT count(*) FROM webhook_delivery") == 90


async def test_a_failed_request_is_repeated_with_the_same_id_and_content(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:
        receiver.answer = _answer(500, times=1)
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, lead())
            await _arrived(receiver, 1, seconds=30)
            row = await eventually(
                lambda: db.fetchrow("SELECT * FROM webhook_delivery WHERE state = 'delivered'")
            )
    assert (row["attempts"], row["retries"]) == (2, 1)
    assert [len(contents) for contents in receiver.contents.values()] == [1]
    assert receiver.unverified == 0


async def test_a_rate_limit_uses_up_no_retry_and_waits_for_retry_after(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:
        receiver.answer = _answer(429, times=1, **{"Retry-After": "3"})
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, lead())
            row = await eventually(
                lambda: db.fetchrow("SELECT * FROM webhook_delivery WHERE status_code = 429")
            )
            assert (row["state"], row["retries"]) == ("failed", 0)
            waited = await db.fetchval("SELECT paused_until - updated_at FROM webhook_destination")
            assert waited.total_seconds() == pytest.approx(3, abs=0.5)
            await _arrived(receiver, 1)


async def test_a_destination_that_is_gone_is_disabled_and_its_leads_wait(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as gone, webhook_receiver() as other:
        gone.answer = _answer(410)
        sites = write_sites(tmp_path, destination("gone", gone.url), destination("other", other.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, lead())
            await eventually(
                lambda: db.fetchval("SELECT disabled_reason FROM webhook_destination WHERE name = 'gone'")
            )
            await post(kafka, lead())
            await _arrived(other, 2)
            states = await db.fetch("SELECT state FROM webhook_delivery WHERE destination = 'gone'")
    assert {row["state"] for row in states} <= {"pending", "failed"}
    assert sum(gone.attempts.values()) == 1
    entry = await db.fetchrow("SELECT * FROM audit_log WHERE event = 'destination.disabled'")
    assert entry["details_json"] == {"destination": "gone", "reason": "destination answered 410"}


async def test_five_failures_in_a_row_pause_it_until_a_probe_succeeds(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as broken, webhook_receiver() as good:
        broken.answer = _answer(503)
        sites = write_sites(tmp_path, destination("broken", broken.url), destination("good", good.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, *[lead() for _ in range(40)])
            await _arrived(good, 40)
            pause = await eventually(
                lambda: db.fetchval(
                    "SELECT paused_until - now() FROM webhook_destination WHERE name = 'broken'"
                )
            )
            assert pause.total_seconds() > 20
            # No more than the eight requests that were running, and those that began before the fifth failed.
            assert sum(broken.attempts.values()) <= 16
            broken.answer = good.answer
            await db.execute("UPDATE webhook_destination SET paused_until = now() WHERE name = 'broken'")
            await db.execute("UPDATE webhook_delivery SET next_attempt_at = now() WHERE state = 'failed'")
            await _arrived(broken, 40)
    state = await db.fetchrow("SELECT * FROM webhook_destination WHERE name = 'broken'")
    assert (state["failures"], state["paused_until"], state["paused_since"]) == (0, None, None)


async def test_an_erasure_is_sent_to_each_destination_that_had_the_lead(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, waiting = lead(), lead()
    await db.execute(
        "INSERT INTO lead_inbox"
        " (id, request_id, site, email, service, name, message, body_sha256, created_at_utc)"
        " SELECT id, '', 'default', 'ada@example.com', '', 'Ada', 'Hello', '', now()"
        " FROM unnest($1::uuid[]) AS leads (id)",
        [sent.lead_id, waiting.lead_id],
    )
    async with webhook_receiver() as receiver, webhook_receiver() as dead:
        sites = write_sites(tmp_path, destination("crm", receiver.url), destination("dead", dead.url))
        await db.execute("INSERT INTO webhook_destination (name, disabled_at) VALUES ('dead', now())")
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, sent)
            await _arrived(receiver, 1)
            await eventually(
                lambda: db.fetchval("SELECT count(*) FROM webhook_delivery WHERE state = 'delivered'")
            )
            await db.execute("SELECT erase_lead($1, 'ann')", sent.lead_id)
            erased = (await _arrived(receiver, 2))[1]
            # Erased before its record was read: no destination gets an event.
            await db.execute("SELECT erase_lead($1, 'ann')", waiting.lead_id)
            await post(kafka, waiting)
            await eventually(
                lambda: db.fetchval("SELECT sum(next_offset - base_offset) FROM partition_ledger"),
                until=lambda counted: counted == 2,
            )
    assert erased["type"] == "lead.erased"
    assert erased["data"] == {"id": str(sent.lead_id), "reference": str(sent.lead_id)[-8:], "site": "default"}
    assert len(receiver.events) == 2
    assert dead.bodies == []
    states = await db.fetch("SELECT state, reason, response FROM webhook_delivery WHERE destination = 'dead'")
    assert [tuple(row.values()) for row in states] == [("suppressed", "erased", None)]
    assert await db.fetchval("SELECT count(*) FROM webhook_event WHERE body LIKE '%ada-%'") == 0
    assert await db.fetchval("SELECT count(*) FROM webhook_delivery WHERE response IS NOT NULL") <= 1
