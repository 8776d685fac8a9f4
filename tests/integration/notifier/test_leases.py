"""Processes that share, lose or release the leases of mails."""

import asyncio
from typing import Any

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from services.notifier.settings import Settings
from tests.support.factories import lead, post, producer, records_of
from tests.support.mail.smtp import HANG, SmtpServer
from tests.support.services.notifier import (
    add_delivery,
    balanced_ledger,
    counted_records,
    delivery_states,
    notifier,
    notifier_settings,
    published_failures,
    smtp_settings,
    wait_for_states,
)
from tests.support.wait import eventually


async def test_a_dead_process_leaves_reserved_mails_and_unknown_ones(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    crashed = lead()
    await add_delivery(db, crashed, "welcome", "sending", "-1 second")
    await add_delivery(db, crashed, "admin_alert", "reserved", "-1 second")
    async with notifier(settings):
        await post(kafka, crashed)
        await wait_for_states(db, crashed, "unknown", "sent")
        failed = (await published_failures(kafka, 1))["welcome"]
    assert failed.final
    assert failed.reason == "process ended after the body may have been written"
    assert smtp.of(crashed.lead_id, "welcome") == []


async def test_a_lease_of_another_process_delays_only_its_lead(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leased, free = lead(), lead()
    await add_delivery(db, leased, "welcome", "reserved", "8 seconds")
    await add_delivery(db, leased, "admin_alert", "reserved", "8 seconds")
    async with notifier(settings):
        await post(kafka, leased, free)
        await wait_for_states(db, free)
        assert await delivery_states(db, leased) == {"welcome": "reserved", "admin_alert": "reserved"}
        await wait_for_states(db, leased, seconds=20)
    assert len(smtp.mails) == 4


async def test_regression_a_lease_does_not_delay_other_partitions(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    # The whole consumer waited for the end of the lease, 50 s.
    leased, later = lead(), lead()
    for kind in ("welcome", "admin_alert"):
        await add_delivery(db, leased, kind, "reserved", "15 seconds")

    async def send(which: LeadReceived, partition: int) -> None:
        topic = kafka.topic_prefix + topics.RECEIVED.name
        await raw.send_and_wait(topic, which.model_dump_json().encode(), partition=partition)

    async with notifier(settings), producer(kafka) as raw:
        await send(leased, 0)
        await eventually(
            lambda: counted_records(db), until=lambda n: n == 1, what="the leased lead in the ledger"
        )
        await send(later, 1)
        await wait_for_states(db, later, seconds=8)
        assert (await delivery_states(db, leased))["welcome"] == "reserved"
        await wait_for_states(db, leased, seconds=30)
    assert len(smtp.of(leased.lead_id, "welcome")) == 1


async def test_sending_is_committed_between_data_and_the_body(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    smtp.always["data"] = HANG
    async with notifier(settings):
        await post(kafka, sent)
        await eventually(lambda: _commands(smtp, "data"), until=lambda n: n == 2)
        # Not committed before the reply to DATA: a mail that waits for it may still be cancelled.
        assert await delivery_states(db, sent) == {"welcome": "reserved", "admin_alert": "reserved"}
        del smtp.always["data"]
        smtp.always["body"] = HANG
        await smtp.stop()
        await smtp.start()
        await eventually(lambda: _commands(smtp, "body"), until=lambda n: n == 2)
        assert await delivery_states(db, sent) == {"welcome": "sending", "admin_alert": "sending"}
        assert await db.fetchval("SELECT min(lease_until) > now() FROM email_delivery")
        await smtp.stop()
        await wait_for_states(db, sent, "unknown", "unknown")


async def _commands(smtp: SmtpServer, phase: str) -> int:
    return smtp.seen[phase]


async def test_processes_that_join_and_leave_send_each_mail_once(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(90)]

    async def sent() -> int:
        return int(await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'"))

    async with notifier(settings):
        await post(kafka, *leads[:30])
        await eventually(sent)
        async with notifier(settings):  # joins, and leaves again
            await post(kafka, *leads[30:60])
            await eventually(sent, until=lambda n: n > 60)
        await post(kafka, *leads[60:])
        await eventually(sent, until=lambda n: n == 180, seconds=40)
    assert len(smtp.mails) == len({str(mail.message["Message-ID"]) for mail in smtp.mails}) == 180
    assert (await balanced_ledger(db))["stored"] == 90
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_a_stop_releases_the_unsent_mails_of_its_batch(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    one_by_one = notifier_settings(kafka, postgres, smtp_settings(smtp), connections=1)
    leads = [lead() for _ in range(10)]
    first = asyncio.Event()
    smtp.on_body = first.set
    async with notifier(one_by_one):
        await post(kafka, *leads)
        await asyncio.wait_for(first.wait(), 10)
    before = len(smtp.mails)
    assert before < 20
    assert await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sending'") == 0
    assert (
        await db.fetchval(
            "SELECT count(*) FROM email_delivery WHERE state = 'reserved' AND lease_until > now()"
        )
        == 0
    )
    async with notifier(settings):
        for each in leads:
            await wait_for_states(db, each)
    assert len(smtp.mails) == 20
