"""Refused and lost mails: their outcomes, failure records and retries."""

from typing import Any

import pytest

from contracts import topics
from contracts.failures import LeadFailed
from runtime.settings import Kafka
from services.notifier.settings import Settings
from tests.support.factories import lead, post, records_of
from tests.support.mail.smtp import DROP, HANG, SmtpServer
from tests.support.services.notifier import (
    add_queue_row,
    audit_events,
    balanced_ledger,
    counted_records,
    delivery_states,
    notifier,
    publish_retry,
    published_failures,
    readyz,
    reset_offsets,
    wait_for_states,
)
from tests.support.wait import eventually


async def test_a_mail_refused_twice_with_451_is_sent_by_a_retry(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    smtp.then(f"rcpt:{sent.email}", "451 4.7.1 greylisted, ada@example.com", "451 4.7.1 greylisted")
    async with notifier(settings):
        await post(kafka, sent)
        await wait_for_states(db, sent, "waiting", "sent")
        failed = (await published_failures(kafka, 1))["welcome"]
        assert (failed.final, failed.reason, failed.attempts) == (False, "smtp 451 4.7.1 at rcpt", 0)
        queue_id = await add_queue_row(db, sent, "welcome")
        await publish_retry(kafka, sent, "welcome", queue_id)
        await eventually(lambda: records_of(kafka, topics.FAILED.name), until=lambda found: len(found) == 2)
        await wait_for_states(db, sent, "waiting", "sent")
        second = LeadFailed.from_headers((await records_of(kafka, topics.FAILED.name))[-1].headers)
        assert (second.attempts, second.queue_id) == (1, queue_id)
        assert second.event_id != failed.event_id
        assert await db.fetchval("SELECT state FROM replay_queue") == "replaying"
        await publish_retry(kafka, sent, "welcome", queue_id, attempts=2)
        await wait_for_states(db, sent)
    assert len(smtp.of(sent.lead_id, "welcome")) == 1
    assert len(smtp.mails) == 2
    row = await db.fetchrow("SELECT state, payload FROM replay_queue")
    assert (row["state"], row["payload"]) == ("resolved", None)
    assert await db.fetchval("SELECT attempts FROM email_delivery WHERE kind = 'welcome'") == 3
    welcome = [event for event in await audit_events(db, sent) if event[1] == "welcome"]
    assert [(event, code) for event, _, code in welcome] == [
        ("email.failed", 451),
        ("email.failed", 451),
        ("email.sent", 250),
    ]
    assert "greylisted" not in str(await db.fetch("SELECT * FROM audit_log"))
    assert await balanced_ledger(db) == {"stored": 1, "duplicate": 2, "parked": 0, "undecodable": 0}


async def test_a_failure_holds_the_lead_unchanged_and_its_first_origin(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    smtp.always[f"rcpt:{sent.email}"] = "550 5.1.1 no such user"
    async with notifier(settings):
        await post(kafka, sent)
        await wait_for_states(db, sent, "dead", "sent")
    (record,) = await records_of(kafka, topics.FAILED.name)
    (origin,) = await records_of(kafka, topics.RECEIVED.name)
    assert (record.key, record.value) == (origin.key, origin.value)
    failed = LeadFailed.from_headers(record.headers)
    assert (failed.final, failed.reason, failed.stage) == (True, "smtp 550 5.1.1 at rcpt", "notifier")
    assert failed.origin.topic == kafka.topic_prefix + topics.RECEIVED.name
    assert (failed.origin.partition, failed.origin.offset) == (origin.partition, origin.offset)
    assert failed.origin.consumer_group == kafka.topic_prefix + topics.GROUPS["notifier"]
    assert await db.fetchval("SELECT smtp_answer FROM email_delivery WHERE kind = 'welcome'")
    assert ("email.failed", "welcome", 550) in await audit_events(db, sent)


@pytest.mark.parametrize("answer", [DROP, HANG])
async def test_a_mail_lost_after_its_body_is_unknown_and_retried_if_alert(
    quick: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, answer: str
) -> None:
    sent = lead()
    smtp.then("body", answer, answer)
    async with notifier(quick):
        await post(kafka, sent)
        await wait_for_states(db, sent, "unknown", "unknown")
        failed = await published_failures(kafka, 2)
        assert (failed["welcome"].final, failed["admin_alert"].final) == (True, False)
        assert sorted(await audit_events(db, sent)) == [
            ("email.unknown", "admin_alert", None),
            ("email.unknown", "welcome", None),
        ]
        await publish_retry(kafka, sent, "admin_alert")
        await wait_for_states(db, sent, "unknown", "sent")
        assert [mail.kind for mail in smtp.mails] == ["admin_alert"]
        first = next(mail for mail in smtp.lost if mail.kind == "admin_alert")
        assert first.message["Message-ID"] == smtp.mails[0].message["Message-ID"]
        # An admin may resend it.
        await publish_retry(kafka, sent, "welcome")
        await wait_for_states(db, sent)
    assert len(smtp.of(sent.lead_id, "welcome")) == 1


async def test_a_redelivered_retry_does_not_resend_an_unknown_welcome(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    smtp.then(f"rcpt:{sent.email}", "451 4.7.1 later")
    async with notifier(settings):
        await post(kafka, sent)
        await wait_for_states(db, sent, "waiting", "sent")
        smtp.then("body", DROP)
        await publish_retry(kafka, sent, "welcome")
        await wait_for_states(db, sent, "unknown", "sent")
        await eventually(lambda: counted_records(db), until=lambda n: n == 2)
    await reset_offsets(kafka)
    async with notifier(settings):
        last = lead()
        await post(kafka, last)
        await wait_for_states(db, last)
        await publish_retry(kafka, last, "admin_alert")
        await eventually(lambda: counted_records(db), until=lambda n: n == 4)
    assert smtp.of(sent.lead_id, "welcome") == []
    assert (await delivery_states(db, sent))["welcome"] == "unknown"
    assert len(await records_of(kafka, topics.FAILED.name)) == 2


async def test_server_failures_of_one_mail_do_not_block_the_others(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    bad, good = lead(), [lead() for _ in range(5)]
    smtp.always[f"rcpt:{bad.email}"] = "451 4.3.0 lookup of this one fails"
    async with notifier(settings):
        await post(kafka, bad, *good)
        for each in good:
            await wait_for_states(db, each)
        await wait_for_states(db, bad, "waiting", "sent")
        last = lead()
        await post(kafka, last)
        await wait_for_states(db, last)
    assert (await published_failures(kafka, 1))["welcome"].reason == "smtp 451 4.3.0 at rcpt"


async def test_regression_refused_bodies_pause_the_stage_until_resumed(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    # Different replies: equal ones would count as a refusal of our sender, and no mail would be dead.
    colors = ("red", "green", "blue", "black", "white", "brown", "pink")
    smtp.script["body"] = [
        f"554 5.7.1 we do not like {a} {b} {c}" for a in colors for b in colors for c in colors
    ]
    leads = [lead() for _ in range(90)]
    async with notifier(settings) as client:
        await post(kafka, *leads)

        async def paused() -> Any:
            return await db.fetchval("SELECT reason FROM stage_control WHERE stage = 'notifier' AND paused")

        assert "records were dead" in await eventually(paused, seconds=60, what="the breaker")
        health = await eventually(lambda: readyz(client), until=lambda h: not h["parts"]["consumer"]["ok"])
        assert "resume the stage" in health["parts"]["consumer"]["reason"]
        died = await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'dead'")
        # The other connections were sending mails, and as many outcomes were being committed.
        assert 100 <= died < 100 + 2 * settings.connections
        smtp.script.clear()
        await db.execute("UPDATE stage_control SET paused = false")

        async def sent() -> int:
            return int(await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'"))

        await eventually(sent, until=(180 - died).__eq__, seconds=60, what="all others sent")
    assert await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'dead'") == died
