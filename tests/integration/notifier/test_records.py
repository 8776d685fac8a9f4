"""Records that are redelivered, undecodable or fail, and what the ledger counts."""

from typing import Any

import pytest

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka
from services.notifier.mail.message import compose
from services.notifier.sending import mail_sender
from services.notifier.settings import Settings
from tests.support.factories import lead, post, producer, records_of
from tests.support.mail.smtp import SmtpServer
from tests.support.services.notifier import (
    add_queue_row,
    balanced_ledger,
    counted_records,
    notifier,
    publish_retry,
    published_failures,
    reset_offsets,
    wait_for_states,
)
from tests.support.wait import eventually


async def test_a_redelivered_lead_is_not_mailed_twice(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(5)]
    async with notifier(settings):
        await post(kafka, *leads, *leads)
        await eventually(lambda: counted_records(db), until=lambda n: n == 10)
        for each in leads:
            await wait_for_states(db, each)
    await reset_offsets(kafka)
    async with notifier(settings):
        last = lead()
        await post(kafka, last)
        await wait_for_states(db, last)
        await eventually(lambda: counted_records(db), until=lambda n: n == 11)
    assert len(smtp.mails) == 12
    assert await balanced_ledger(db) == {"stored": 6, "duplicate": 5, "parked": 0, "undecodable": 0}
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 12


async def test_an_undecodable_record_is_only_counted(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    good = [lead(), lead()]
    topic = kafka.topic_prefix + topics.RECEIVED.name
    async with notifier(settings):
        await post(kafka, good[0])
        async with producer(kafka) as sender:
            await sender.send_and_wait(topic, b"\xff no json", key=b"k", headers=[("x", b"\xff")])
            await sender.send_and_wait(topic, None, key=b"k")
        await post(kafka, good[1])
        for each in good:
            await wait_for_states(db, each)
        await eventually(lambda: counted_records(db), until=lambda n: n == 4)
    assert await records_of(kafka, topics.FAILED.name) == []
    assert (await balanced_ledger(db))["undecodable"] == 2


async def test_a_lead_with_nul_in_every_text_blocks_nothing(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    odd = lead(name="a\x00b", request_id="r\x00", site="s\x00", email="a\x00@example.com", message="m\x00")
    good = lead()
    async with notifier(settings):
        await post(kafka, odd, good)
        await wait_for_states(db, good)
        await wait_for_states(db, odd, "dead", "sent")
    assert (await published_failures(kafka, 1))["welcome"].reason == "address is not valid"


async def test_a_retry_of_a_sent_mail_only_resolves_its_replay(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    async with notifier(settings):
        await post(kafka, sent)
        await wait_for_states(db, sent)
        await add_queue_row(db, sent, "welcome")
        await publish_retry(kafka, sent, "welcome")
        await eventually(
            lambda: db.fetchval("SELECT state FROM replay_queue"), until=lambda s: s == "resolved"
        )
    assert len(smtp.mails) == 2


async def test_a_failing_record_goes_to_the_retry_queue_alone(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = lead(), [lead() for _ in range(4)]

    def compose_or_fail(kind: Any, which: LeadReceived, *others: Any) -> Any:
        if which.lead_id == bad.lead_id and kind == "welcome":
            raise ZeroDivisionError
        return compose(kind, which, *others)

    monkeypatch.setattr(mail_sender, "compose", compose_or_fail)
    async with notifier(settings):
        await post(kafka, bad, *good)
        for each in good:
            await wait_for_states(db, each)
        await wait_for_states(db, bad, "waiting", "sent")
        failed = (await published_failures(kafka, 1))["welcome"]
        assert (failed.reason, failed.final) == ("bug: ZeroDivisionError", False)
        monkeypatch.undo()
        await publish_retry(kafka, bad, "welcome")
        await wait_for_states(db, bad)
    assert len(smtp.mails) == 10
    assert (await balanced_ledger(db))["stored"] == 5
