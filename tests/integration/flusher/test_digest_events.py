"""Digests that came back: every alert that they listed changes, on a real broker and a real database."""

from typing import Any
from uuid import uuid4

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead
from tests.support.mail.events import add_mail, digest_event, publish_events, store_lead
from tests.support.services.flusher import flusher, until_counted

LISTED = 150


async def states_of(db: Any, *leads: LeadReceived) -> set[str]:
    rows = await db.fetch(
        "SELECT state FROM email_delivery WHERE lead_id = ANY($1)", [each.lead_id for each in leads]
    )
    return {row["state"] for row in rows}


async def test_a_digest_that_came_back_is_a_failed_delivery_of_each_alert(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    digest_id, listed = uuid4(), [lead() for _ in range(LISTED)]
    elsewhere, alone = lead(), lead()
    for each in listed:
        await store_lead(db, each)
        await add_mail(db, each, kind="admin_alert", digest_id=digest_id)
        await add_mail(db, each)
    await add_mail(db, elsewhere, kind="admin_alert", digest_id=uuid4())
    await add_mail(db, alone, kind="admin_alert")
    event = digest_event(digest_id)
    async with flusher(kafka, postgres):
        # Each digest and its alerts, three times, and the failures.
        await publish_events(kafka, event, event)
        await until_counted(db, 2 + 3 * LISTED)
        await publish_events(kafka, event)
        await until_counted(db, 3 + 4 * LISTED)
    alerts = await db.fetch(
        "SELECT state, reason FROM email_delivery WHERE message_id LIKE $1", f"<{digest_id}%"
    )
    assert {tuple(row) for row in alerts} == {("bounced", "bounced with 5.2.2")}
    assert len(alerts) == LISTED
    assert await states_of(db, elsewhere, alone) == {"sent"}
    assert (
        await db.fetchval("SELECT count(*) FROM email_delivery WHERE kind = 'welcome' AND state <> 'sent'")
        == 0
    )
    audited = await db.fetch(
        "SELECT lead_id, details_json ->> 'digest_id' AS digest_id FROM audit_log"
        " WHERE event = 'email.bounced'"
    )
    assert sorted(row["lead_id"] for row in audited) == sorted(each.lead_id for each in listed)
    assert {row["digest_id"] for row in audited} == {str(digest_id)}
    queued = await db.fetch("SELECT lead_id FROM replay_queue WHERE kind = 'admin_alert' AND state = 'dead'")
    assert sorted(row["lead_id"] for row in queued) == sorted(each.lead_id for each in listed)
    assert await db.fetchval("SELECT count(*) FROM suppressed_address") == 0


async def test_an_alert_that_was_sent_alone_since_does_not_change(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    digest_id, resent = uuid4(), lead()
    await add_mail(db, resent, kind="admin_alert")
    late = digest_event(digest_id, lead_id=resent.lead_id)
    async with flusher(kafka, postgres):
        await publish_events(kafka, late.model_copy(update={"kind": "admin_alert"}))
        await until_counted(db, 1)
    assert await states_of(db, resent) == {"sent"}
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_a_list_of_held_leads_that_came_back_is_in_the_audit_log(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    digest_id = uuid4()
    await db.execute("INSERT INTO held_digest (id, site, sent_at) VALUES ($1, 'shop', now())", digest_id)
    event = digest_event(digest_id, kind="held_digest")
    async with flusher(kafka, postgres):
        await publish_events(kafka, event, event, digest_event(uuid4(), kind="held_digest"))
        await until_counted(db, 3)
    row = await db.fetchrow(
        "SELECT event, lead_id, details_json ->> 'site' AS site, details_json ->> 'kind' AS kind"
        " FROM audit_log"
    )
    assert tuple(row) == ("email.bounced", None, "shop", "held_digest")
    sums = await db.fetchrow(
        "SELECT sum(stored)::int, sum(duplicate)::int FROM partition_ledger WHERE topic = $1",
        kafka.topic_prefix + topics.MAIL_EVENTS.name,
    )
    assert tuple(sums) == (1, 2)


async def test_an_index_finds_the_alerts_of_a_digest(db: Any) -> None:
    await db.execute("SET enable_seqscan = off")
    plan = await db.fetch(
        "EXPLAIN SELECT lead_id FROM email_delivery WHERE kind = 'admin_alert'"
        " AND message_id LIKE '<%.alert_digest@%' AND substr(message_id, 2, 36) = 'x' ORDER BY lead_id"
    )
    assert any("email_delivery_digest" in row[0] for row in plan)
