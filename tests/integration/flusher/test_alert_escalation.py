"""Team notifications that nobody received become one event for each site, in the outbox."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from contracts.leads import LeadReceived
from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from services.flusher.jobs.alert_escalation import escalate
from services.flusher.retries.retry_scheduler import utc_now
from tests.support.factories import lead
from tests.support.services.admin import add_leads
from tests.support.services.outbox import outbox, publish_changes, published

REFUSED = "550 5.7.1 sender not allowed"


async def run_job(postgres: Postgres) -> None:
    """Do the job's work once, as at the next tick of its schedule."""
    async with open_pool(postgres, "test") as pool:
        await escalate(pool, utc_now())


async def add_alerts(
    db: Any,
    count: int,
    state: str | None,
    *,
    site: str = "shop",
    minutes_ago: float = 2,
    status: str = "received",
    recipient: str = "boss@fast.example",
) -> list[UUID]:
    """Store leads whose notifications have this state since some minutes. None: no email was begun."""
    leads = [lead(site=site) for _ in range(count)]
    await add_leads(db, leads, status)
    at = timedelta(minutes=minutes_ago)
    ids = [each.lead_id for each in leads]
    await db.execute(
        "UPDATE lead_inbox SET created_at_utc = now() - $2::interval WHERE id = ANY($1)", ids, at
    )
    if state:
        await add_emails(db, leads, state, recipient)
        await db.execute("UPDATE email_delivery SET outcome_at = now() - $2::interval WHERE lead_id = ANY($1)"
                         " AND outcome_at IS NOT NULL", ids, at)  # fmt: skip
    return ids


async def add_emails(db: Any, leads: list[LeadReceived], state: str, recipient: str) -> None:
    await db.executemany(
        "INSERT INTO email_delivery (lead_id, kind, state, lease_until, message_id, site, recipient)"
        " VALUES ($1, 'admin_alert', 'reserved', now(), 'm', $2, $3)",
        [(each.lead_id, each.site, recipient) for each in leads],
    )
    await db.execute(
        "UPDATE email_delivery SET state = $2, failure_group = $3 WHERE lead_id = ANY($1)",
        [each.lead_id for each in leads],
        state,
        REFUSED,
    )


async def reported(db: Any) -> dict[str, list[UUID]]:
    rows = await db.fetch("SELECT site, lead_ids FROM alert_escalation ORDER BY created_at")
    return {row["site"]: sorted(row["lead_ids"]) for row in rows}


async def test_160_failures_are_one_event_and_each_lead_is_reported_once(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    dead = await add_alerts(db, 160, "dead")
    other = await add_alerts(db, 2, "dead", site="blog")
    await run_job(postgres)
    await run_job(postgres)
    assert await reported(db) == {"shop": sorted(dead), "blog": sorted(other)}
    assert [row["type"] for row in await outbox(db)] == ["lead.alert_failed"] * 2
    await publish_changes(kafka, postgres)
    events = {event["site"]: event for event in await published(kafka)}
    assert {UUID(each) for each in events["shop"]["lead_ids"]} == set(dead)
    assert (events["shop"]["reason"], len(events)) == (REFUSED, 2)


async def test_later_failures_of_a_site_wait_and_are_reported_together(postgres: Postgres, db: Any) -> None:
    await add_alerts(db, 3, "dead")
    await run_job(postgres)
    later = await add_alerts(db, 4, "dead")
    await run_job(postgres)
    assert await db.fetchval("SELECT count(*) FROM alert_escalation") == 1
    await db.execute("UPDATE alert_escalation SET created_at = created_at - interval '15 minutes'")
    await run_job(postgres)
    assert (await reported(db))["shop"] == sorted(later)
    assert await db.fetchval("SELECT count(*) FROM escalated_alert") == 7


async def test_a_burst_that_began_just_now_is_not_reported_yet(postgres: Postgres, db: Any) -> None:
    await add_alerts(db, 3, "dead", minutes_ago=0.1)
    await run_job(postgres)
    assert await reported(db) == {}


async def test_sent_and_confirmation_emails_are_not_reported(postgres: Postgres, db: Any) -> None:
    await add_alerts(db, 2, "sent", minutes_ago=30)
    await add_alerts(db, 2, "suppressed", minutes_ago=30)
    await add_alerts(db, 2, "dead")
    await db.execute("UPDATE email_delivery SET kind = 'welcome' WHERE state = 'dead'")
    await add_alerts(db, 1, None, minutes_ago=30, status="spam")
    await run_job(postgres)
    assert await reported(db) == {}


async def test_a_bounce_is_reported_once_each_recipient_bounced(postgres: Postgres, db: Any) -> None:
    (lead_id,) = await add_alerts(db, 1, "bounced", recipient="ann@fast.example, bob@fast.example")
    bounce = (
        "INSERT INTO audit_log (event_id, event, actor, lead_id, details_json)"
        """ VALUES (gen_random_uuid(), 'email.bounced', 'flusher', $1, '{"kind": "admin_alert"}')"""
    )
    await db.execute(bounce, lead_id)
    await run_job(postgres)
    assert await reported(db) == {}
    await db.execute(bounce, lead_id)
    await run_job(postgres)
    assert await reported(db) == {"shop": [lead_id]}


async def test_late_notifications_are_reported_if_no_other_of_the_site_is_sent(
    postgres: Postgres, db: Any
) -> None:
    waiting = await add_alerts(db, 2, "waiting", minutes_ago=20)
    unread = await add_alerts(db, 2, None, minutes_ago=20)
    await add_alerts(db, 2, "waiting", minutes_ago=10)
    await add_alerts(db, 2, "waiting", site="blog", minutes_ago=20)
    await add_alerts(db, 1, "sent", site="blog", minutes_ago=1)
    await run_job(postgres)
    assert await reported(db) == {"shop": sorted(waiting + unread)}


async def test_a_digest_is_late_after_its_own_time(postgres: Postgres, db: Any) -> None:
    (late,) = await add_alerts(db, 1, "collected", minutes_ago=300)
    (later,) = await add_alerts(db, 1, "collected", minutes_ago=60)
    (deferred,) = await add_alerts(db, 1, "waiting", minutes_ago=60)
    for lead_id, minutes in ((late, -20), (later, 30), (deferred, -5)):
        await db.execute(
            "INSERT INTO collected_alert (lead_id, site, service, due_at, record_id, record_topic,"
            " record_partition, record_offset, record_timestamp, payload, headers)"
            " VALUES ($1, 'shop', 's', now() + $2::interval, $1, 't', 0, 0, 0, '', '{}')",
            lead_id,
            timedelta(minutes=minutes),
        )
    await run_job(postgres)
    assert await reported(db) == {"shop": [late]}


async def test_an_erasure_of_one_lead_keeps_the_event_of_the_others(postgres: Postgres, db: Any) -> None:
    ids = await add_alerts(db, 3, "dead")
    await run_job(postgres)
    first = (await db.fetchval("SELECT lead_ids FROM alert_escalation"))[0]
    event_id = await db.fetchval("SELECT event_id FROM lead_event_outbox")
    await db.execute(
        "INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count)"
        " VALUES ($1, 'lead.alert_failed', $2, 'shop', now(), '{}', 1)",
        event_id,
        first,
    )
    await db.execute(
        "INSERT INTO webhook_delivery (event_id, destination, lead_id, position, attempts)"
        " VALUES ($1, 'chat', $2, 1, 1)",
        event_id,
        first,
    )
    await db.execute("SELECT erase_lead($1, 'ann')", first)
    assert await db.fetchval("SELECT body FROM webhook_event") == "{}"
    assert await db.fetch("SELECT state FROM webhook_delivery") == [("pending",)]
    assert first in ids
