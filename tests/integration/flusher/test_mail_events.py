"""The flusher applies mail events, against a real broker and a real database."""

from typing import Any
from uuid import uuid4

import pytest

from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead
from tests.support.mail.events import add_mail, mail_event, publish_events, store_lead
from tests.support.services.flusher import flusher, until_counted
from tests.support.wait import eventually


async def state_of(db: Any, of: LeadReceived, kind: str = "welcome") -> Any:
    return await db.fetchval(
        "SELECT state FROM email_delivery WHERE lead_id = $1 AND kind = $2", of.lead_id, kind
    )


async def events_of(db: Any, of: LeadReceived) -> list[str]:
    rows = await db.fetch("SELECT event FROM audit_log WHERE lead_id = $1 ORDER BY id", of.lead_id)
    return [row["event"] for row in rows]


async def test_a_hard_bounce_is_a_failed_delivery_of_a_suppressed_address(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    gone = lead()
    await store_lead(db, gone)
    await add_mail(db, gone)
    event = mail_event(gone)
    async with flusher(kafka, postgres):
        await publish_events(kafka, event, event)
        await eventually(lambda: db.fetchval("SELECT state FROM replay_queue"), until=lambda s: s == "dead")
        await publish_events(kafka, event)
        await until_counted(db, 4)
    row = await db.fetchrow("SELECT * FROM email_delivery")
    assert (row["state"], row["reason"]) == ("bounced", "bounced with 5.1.1")
    assert row["smtp_answer"] == f"smtp; 550 5.1.1 <{gone.email}>: unknown user"
    assert sorted(await events_of(db, gone)) == [
        "email.bounced", "lead.dead", "lead.parked", "suppression.added"
    ]  # fmt: skip
    listed = await db.fetchrow(
        "SELECT site, reason, lead_id, octet_length(digest) AS bytes, expires_at - created_at AS lasts"
        " FROM suppressed_address"
    )
    assert (listed["site"], listed["reason"], listed["lead_id"], listed["bytes"], listed["lasts"].days) == (
        None, "bounced", gone.lead_id, 32, 180
    )  # fmt: skip
    queued = await db.fetchrow("SELECT kind, reason, payload FROM replay_queue")
    assert (queued["kind"], queued["reason"]) == ("welcome", "bounced with 5.1.1")
    assert LeadReceived.model_validate_json(queued["payload"]).email == gone.email


async def test_a_bounce_of_a_notification_is_a_failed_delivery_only(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    visitor = lead()
    await store_lead(db, visitor)
    await add_mail(db, visitor, kind="admin_alert")
    async with flusher(kafka, postgres):
        await publish_events(kafka, mail_event(visitor, kind="admin_alert", recipient="boss@fast.example"))
        await eventually(lambda: db.fetchval("SELECT state FROM replay_queue"), until=lambda s: s == "dead")
    assert await state_of(db, visitor, "admin_alert") == "bounced"
    assert await db.fetchval("SELECT count(*) FROM suppressed_address") == 0


@pytest.mark.parametrize("order", [("bounced", "complained"), ("complained", "bounced")])
async def test_the_order_of_events_makes_no_difference(
    kafka: Kafka, postgres: Postgres, db: Any, order: tuple[str, str]
) -> None:
    annoyed = lead(site="studio")
    await add_mail(db, annoyed)
    async with flusher(kafka, postgres):
        for kind in order:
            await publish_events(kafka, mail_event(annoyed, type=kind, hard=False))
        await until_counted(db, 2)
    assert await state_of(db, annoyed) == "complained"
    assert await db.fetchval("SELECT site FROM suppressed_address") == "studio"


async def test_a_bounce_waits_for_the_outcome_of_an_email_that_is_being_sent(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    quick, other = lead(), lead()
    await add_mail(db, quick, "sending", lease="2 seconds")
    await add_mail(db, other)
    async with flusher(kafka, postgres):
        await publish_events(kafka, mail_event(quick), mail_event(other))
        await eventually(lambda: state_of(db, other), until=lambda state: state == "bounced", seconds=30)
        await db.execute(
            "UPDATE email_delivery SET state = 'sent', lease_until = NULL WHERE state = 'sending'"
        )
        await eventually(lambda: state_of(db, quick), until=lambda state: state == "bounced")


async def test_a_bounce_proves_that_an_email_with_unknown_outcome_was_sent(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    unsure, crashed = lead(), lead()
    await add_mail(db, unsure, "unknown")
    await add_mail(db, crashed, "sending", lease="-1 seconds")
    async with flusher(kafka, postgres):
        await publish_events(kafka, mail_event(unsure), mail_event(crashed))
        await until_counted(db, 2)
    assert [await state_of(db, each) for each in (unsure, crashed)] == ["bounced", "bounced"]


async def test_a_bounce_of_an_erased_lead_stores_nothing_about_the_person(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    erased = lead()
    await store_lead(db, erased)
    await add_mail(db, erased)
    await db.execute("SELECT erase_lead($1, 'test')", erased.lead_id)
    async with flusher(kafka, postgres):
        await publish_events(kafka, mail_event(erased))
        await until_counted(db, 1)
    row = await db.fetchrow("SELECT state, smtp_answer, recipient FROM email_delivery")
    assert tuple(row) == ("bounced", None, None)
    assert await db.fetchval("SELECT count(*) FROM suppressed_address") == 0
    assert await db.fetchval("SELECT count(*) FROM replay_queue") == 0


async def test_events_without_an_email_are_counted_and_change_nothing(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    known = lead()
    await add_mail(db, known, "suppressed")
    async with flusher(kafka, postgres):
        await publish_events(kafka, mail_event(lead()), b"{}", b"\xff", mail_event(known, hard=False))
        await until_counted(db, 4)
    sums = await db.fetchrow("SELECT sum(stored)::int, sum(duplicate)::int, sum(undecodable)::int"
                             " FROM partition_ledger WHERE topic LIKE '%mail.events.v1'")  # fmt: skip
    assert tuple(sums) == (1, 1, 2)
    assert await state_of(db, known) == "suppressed"
    assert (
        await db.fetchval("SELECT count(*) FROM audit_log WHERE lead_id IS DISTINCT FROM $1", known.lead_id)
        == 0
    )


async def test_a_late_bounce_does_not_suppress_a_corrected_address(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    corrected = lead()
    await add_mail(db, corrected)
    async with flusher(kafka, postgres):
        await publish_events(kafka, mail_event(corrected, recipient=f"typo-{uuid4().hex}@example.com"))
        await until_counted(db, 1)
    assert await state_of(db, corrected) == "bounced"
    assert await db.fetchval("SELECT count(*) FROM suppressed_address") == 0
