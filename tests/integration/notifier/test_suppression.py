"""Mails that must not be sent: spam, erased leads and welcomes over a limit."""

import asyncio
import functools
from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.settings import Kafka, Postgres
from services.notifier.settings import Settings
from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer
from tests.support.services.notifier import (
    add_queue_row,
    audit_events,
    balanced_ledger,
    counted_records,
    delivery_states,
    notifier,
    notifier_settings,
    publish_retry,
    smtp_settings,
    store_lead,
    wait_for_states,
)
from tests.support.wait import eventually

KINDS = ("welcome", "admin_alert")


async def test_spam_is_suppressed_until_an_admin_clears_it(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    spam = lead(spam_reasons=("honeypot",))
    async with notifier(settings):
        await post(kafka, spam)
        await wait_for_states(db, spam, "suppressed", "suppressed")
        assert sorted(await audit_events(db, spam)) == [
            ("email.suppressed", "admin_alert", None),
            ("email.suppressed", "welcome", None),
        ]
        await store_lead(db, spam, "spam")
        await publish_retry(kafka, spam, "welcome", await add_queue_row(db, spam, "welcome"))
        await eventually(lambda: db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'resolved'"))
        assert smtp.mails == []
        await db.execute("UPDATE lead_inbox SET status = 'received'")
        for kind in KINDS:
            await publish_retry(kafka, spam, kind)
        await wait_for_states(db, spam)
    assert len(smtp.mails) == 2
    assert (await balanced_ledger(db))["stored"] == 1


async def test_an_erased_lead_is_never_mailed(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    before, after = lead(), lead()
    smtp.always[f"rcpt:{after.email}"] = "451 4.7.1 later"
    await store_lead(db, before, "erased")
    async with notifier(settings):
        await post(kafka, before, after)
        await wait_for_states(db, before, "suppressed", "suppressed")
        await wait_for_states(db, after, "waiting", "sent")
        await store_lead(db, after, "erased")
        await db.execute("UPDATE email_delivery SET recipient = NULL, smtp_answer = NULL")
        smtp.always.clear()
        queue_id = await add_queue_row(db, after, "welcome")
        await publish_retry(kafka, after, "welcome", queue_id)
        await wait_for_states(db, after, "suppressed", "sent")
    assert [mail.kind for mail in smtp.mails] == ["admin_alert"]
    assert await db.fetchval("SELECT state FROM replay_queue") == "resolved"


async def test_regression_a_mail_deferred_during_the_erasure_does_not_wait(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    one, answer = lead(), asyncio.Event()

    async def delay() -> None:
        await answer.wait()

    smtp.always["rcpt"] = "451 4.7.1 later"
    smtp.delay = delay
    async with notifier(settings):
        await post(kafka, one)
        await wait_for_states(db, one, "reserved", "reserved")
        await db.execute("SELECT erase_lead($1, 'ann')", one.lead_id)
        answer.set()
        await wait_for_states(db, one, "suppressed", "suppressed")
    reasons = await db.fetch("SELECT reason FROM email_delivery")
    assert {row["reason"] for row in reasons} == {"erased"}
    assert smtp.mails == []


async def test_welcomes_to_one_mailbox_are_limited_per_day_alerts_are_not(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead(email=email) for email in ["ada+a@example.com", "Ada+b@Example.com"] * 3]
    async with notifier(settings):
        await post(kafka, *leads)
        for each in leads:
            await eventually(
                functools.partial(delivery_states, db, each), until=lambda s: s.get("admin_alert") == "sent"
            )
        assert sum(mail.kind == "welcome" for mail in smtp.mails) == settings.welcomes_per_day == 3
        suppressed = await db.fetch("SELECT lead_id, reason FROM email_delivery WHERE state = 'suppressed'")
        assert {row["reason"] for row in suppressed} == {"too many welcomes to this address"}
        again = next(each for each in leads if each.lead_id == suppressed[0]["lead_id"])
        await publish_retry(kafka, again, "welcome")
        await eventually(lambda: counted_records(db), until=lambda n: n == 7)
        assert (await delivery_states(db, again))["welcome"] == "suppressed"
        await db.execute("UPDATE email_delivery SET created_at = created_at - interval '25 hours'")
        await publish_retry(kafka, again, "welcome")
        await wait_for_states(db, again)
    assert (await balanced_ledger(db))["stored"] == 6


async def test_welcomes_of_one_site_are_limited_per_hour_alerts_are_not(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    at = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
    few = notifier_settings(
        kafka, postgres, smtp_settings(smtp), welcomes_per_site_and_hour=2, batch_max_records=1
    )
    leads = [lead(occurred_at=at) for _ in range(5)]
    others = [lead(occurred_at=at, site="other"), lead(occurred_at=at + timedelta(hours=1))]
    async with notifier(few):
        await post(kafka, *leads, *others)
        for each in [*leads, *others]:
            await eventually(
                functools.partial(delivery_states, db, each), until=lambda s: s.get("admin_alert") == "sent"
            )
        for each in others:
            await wait_for_states(db, each)
    reasons = await db.fetch("SELECT reason FROM email_delivery WHERE state = 'suppressed'")
    assert [row["reason"] for row in reasons] == ["too many welcomes of this site"] * 3
    assert sum(mail.kind == "welcome" for mail in smtp.mails) == 2 + 2
