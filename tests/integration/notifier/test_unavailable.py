"""An unavailable mail server or database pauses the stage, and no mail is lost."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contracts import topics
from runtime.settings import Kafka, Postgres
from services.notifier.settings import Settings, Smtp
from tests.support.factories import lead, post, records_of
from tests.support.mail.smtp import DROP, HANG, SmtpServer, smtp_server, tls_for_localhost
from tests.support.services.notifier import (
    notifier,
    notifier_settings,
    readyz,
    smtp_settings,
    wait_for_states,
)
from tests.support.wait import eventually


@pytest.mark.parametrize(
    ("phase", "answer"),
    [
        ("connect", "421 4.3.2 not now"),
        ("mail", "550 5.7.1 who are you"),
        ("rcpt", "421 4.7.0 too fast"),
        ("rcpt", "452 4.3.1 disk full"),
        ("rcpt", DROP),
        ("data", DROP),
        ("mail", HANG),
        ("rcpt", HANG),
        ("data", HANG),
        ("connect", HANG),
        ("ehlo", HANG),
    ],
)
async def test_an_unavailable_server_pauses_the_stage_and_uses_no_retry(
    quick: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, phase: str, answer: str
) -> None:
    sent = lead()
    smtp.always[phase] = answer
    async with notifier(quick) as client:
        await post(kafka, sent)
        # Both in one response: if the server accepts the connection and refuses later, the mailer's probe
        # turns `smtp` green until the next attempt.
        await eventually(
            lambda: readyz(client),
            until=lambda h: (
                h["parts"]["consumer"]["reason"].startswith("paused: smtp") and not h["parts"]["smtp"]["ok"]
            ),
            what="a pause, with the mail server named",
        )
        del smtp.always[phase]
        await wait_for_states(db, sent)
        await eventually(lambda: readyz(client), until=lambda h: h["status"] == "ready", what="readiness")
    assert len(smtp.mails) == 2
    assert await records_of(kafka, topics.FAILED.name) == []
    assert await db.fetchval("SELECT max(attempts) FROM email_delivery") == 1


async def test_a_refused_login_pauses_the_stage_until_accepted(
    settings: Settings, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    sent = lead()
    async with smtp_server(credentials=("us", "another")) as smtp:
        own = smtp_settings(smtp, user="us", password="secret")
        async with notifier(notifier_settings(kafka, postgres, own)) as client:
            await post(kafka, sent)
            await eventually(
                lambda: readyz(client),
                until=lambda h: "smtp 535 5.7.8 at login" in h["parts"]["consumer"]["reason"],
                what="a pause for the login",
            )
            smtp.credentials = ("us", "secret")
            await wait_for_states(db, sent)
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_an_outcome_is_committed_after_a_database_timeout(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    short_timeout = postgres.model_copy(update={"command_timeout_seconds": 0.3})  # its statements time out
    sent = lead()
    lock = db.transaction()
    held = asyncio.Event()

    def lock_audit_log() -> None:
        if not held.is_set():
            held.set()
            blocking.append(asyncio.ensure_future(_lock()))

    async def _lock() -> None:
        await lock.start()
        await db.execute("LOCK TABLE audit_log IN EXCLUSIVE MODE")

    blocking: list[asyncio.Future[None]] = []
    smtp.on_body = lock_audit_log
    async with notifier(
        notifier_settings(kafka, short_timeout, smtp_settings(smtp), connections=1)
    ) as client:
        await post(kafka, sent)
        await eventually(
            lambda: readyz(client),
            until=lambda h: h["parts"]["consumer"]["reason"] == "paused: database does not answer",
            what="a pause for the database",
        )
        await blocking[0]
        await lock.rollback()
        await wait_for_states(db, sent)
    assert len(smtp.mails) == 2
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_a_restarted_mail_server_gets_every_mail_once(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(6)]
    async with notifier(settings) as client:
        await post(kafka, leads[0])
        await wait_for_states(db, leads[0])
        await smtp.stop()
        await post(kafka, *leads[1:])
        health = await eventually(
            lambda: readyz(client), until=lambda h: not h["parts"]["smtp"]["ok"], what="red readiness"
        )
        assert health["parts"]["smtp"]["reason"] == "smtp connection lost at connect"
        await smtp.start()
        for each in leads:
            await wait_for_states(db, each)
    assert len(smtp.mails) == 12
    assert await records_of(kafka, topics.FAILED.name) == []


def _pauses() -> float:
    return REGISTRY.get_sample_value("fastcore_pauses_total", {"part": "smtp"}) or 0.0


@pytest.mark.parametrize("end", [DROP, "421 4.4.2 enough mails in this session"])
async def test_a_connection_closed_after_a_mail_is_replaced_without_a_pause(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any, end: str
) -> None:
    first, second = lead(), lead()
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp), connections=1)):
        await post(kafka, first)
        await wait_for_states(db, first)
        connects, pauses = smtp.seen["connect"], _pauses()
        smtp.then("mail", end)
        await post(kafka, second)
        await wait_for_states(db, second)
    assert (smtp.seen["connect"], _pauses()) == (connects + 1, pauses)
    assert len(smtp.mails) == 4
    assert await db.fetchval("SELECT max(attempts) FROM email_delivery") == 1


async def test_a_connection_is_reused_after_a_refused_mail(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    refused, well = lead(), lead()
    pauses = _pauses()
    smtp.always[f"rcpt:{refused.email}"] = "550 5.1.1 no such user"
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp), connections=1)):
        await post(kafka, refused)
        await wait_for_states(db, refused, "dead", "sent")
        await post(kafka, well)
        await wait_for_states(db, well)
    assert _pauses() == pauses
    assert smtp.seen["connect"] <= 2  # and the mailer's probe


async def test_readiness_is_red_without_a_mail_server(settings: Settings, smtp: SmtpServer) -> None:
    await smtp.stop()
    async with notifier(settings) as client:
        health = await eventually(
            lambda: readyz(client),
            until=lambda h: h["parts"]["smtp"]["reason"] == "smtp connection lost at connect",
        )
        assert health["status"] == "not ready"
        assert (await client.get("/livez")).status_code == 200
        await smtp.start()
        await eventually(lambda: readyz(client), until=lambda h: h["status"] == "ready", what="readiness")


async def test_starttls_never_falls_back_to_plain(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    sent = lead()
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp, tls=True))) as client:
        await post(kafka, sent)
        await eventually(
            lambda: readyz(client),
            until=lambda h: h["parts"]["consumer"]["reason"].startswith("paused: smtp server lacks"),
        )
    assert smtp.mails == []
    assert smtp.seen["mail"] == 0


@pytest.mark.parametrize("implicit", [False, True])
async def test_the_certificate_of_the_mail_server_is_verified(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch, implicit: bool
) -> None:
    context, trusted = tls_for_localhost()
    sent = lead()
    monkeypatch.setattr(Smtp, "implicit_tls", implicit)  # what port 465 means; a test cannot listen on it
    async with smtp_server(host="localhost", tls_context=context, implicit_tls=implicit) as smtp:
        settings = notifier_settings(kafka, postgres, smtp_settings(smtp, tls=True))
        async with notifier(settings) as client:
            await post(kafka, sent)
            await eventually(
                lambda: readyz(client),
                until=lambda h: h["parts"]["consumer"]["reason"] == "paused: smtp tls refused at connect",
                what="a pause for the certificate",
            )
        assert smtp.seen["mail"] == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        async with notifier(settings):
            await wait_for_states(db, sent)
    assert len(smtp.mails) == 2
