"""A real Postfix: it refuses our sender in five ways, or a recipient."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts import topics
from runtime.health import Health
from runtime.settings import Kafka, Postgres
from services.notifier.mail.message import Identity, compose
from services.notifier.settings import Smtp
from services.notifier.smtp.mailer import open_mailer
from services.notifier.smtp.outcome import SENDER_REFUSED, MailOutcome, MailStatus, Phase
from tests.support.factories import lead, post, records_of
from tests.support.mail.postfix import Postfix, postfix
from tests.support.services.notifier import notifier, notifier_settings, readyz, wait_for_states
from tests.support.wait import eventually

# The reply of each port in Postfix 3.7.
REFUSALS = {
    "relay": "554 5.7.1 <stranger@elsewhere.example>: Relay access denied",
    "login": "553 5.7.1 <hello@fast.example>: Sender address rejected: not owned by user us",
    "sender": "450 4.1.8 <hello@nowhere.invalid>: Sender address rejected: Domain not found",
    "helo": "554 5.7.1 <fast.example>: Helo command rejected: Access denied",
    "client": "554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    with postfix() as running:
        yield running


def settings_of(server: Postfix, port: str) -> Smtp:
    login = {"user": "us", "password": "secret"} if port == "login" else {}
    return Smtp.model_validate({"host": "127.0.0.1", "port": server.ports[port], "tls": False} | login)


async def send(kafka: Kafka, postgres: Postgres, smtp: Smtp, recipient: str, sender: str) -> MailOutcome:
    """Send one welcome as the notifier does, without a record."""
    settings, state = notifier_settings(kafka, postgres, smtp, from_email=sender), Health()
    mail = compose(
        "welcome", lead(email=recipient), Identity(sender, "FAST", ("boss@fast.example",)), datetime.now(UTC)
    )

    async def nothing_to_commit() -> None: ...

    async with open_mailer(settings, state, asyncio.Event()) as mailer:
        return await mailer.send(mail, nothing_to_commit)


@pytest.mark.parametrize("port", REFUSALS)
async def test_regression_a_refusal_of_our_sender_at_rcpt_means_unavailable(
    server: Postfix, kafka: Kafka, postgres: Postgres, port: str
) -> None:
    sender = "hello@nowhere.invalid" if port == "sender" else "hello@fast.example"
    outcome = await send(kafka, postgres, settings_of(server, port), "stranger@elsewhere.example", sender)
    assert f"{outcome.code} {outcome.reply}" == REFUSALS[port]
    assert (outcome.status, outcome.phase, outcome.cause) == (
        MailStatus.UNAVAILABLE,
        Phase.RCPT,
        SENDER_REFUSED,
    )


async def test_an_unknown_recipient_makes_the_mail_dead(
    server: Postfix, kafka: Kafka, postgres: Postgres
) -> None:
    gone = await send(
        kafka, postgres, settings_of(server, "recipient"), "gone@fast.example", "hello@fast.example"
    )
    assert (gone.status, gone.code, gone.enhanced) == (MailStatus.DEAD, 550, "5.1.1")
    here = await send(
        kafka, postgres, settings_of(server, "recipient"), "ada@fast.example", "hello@fast.example"
    )
    assert here.status is MailStatus.SENT


async def test_regression_a_relay_refusal_pauses_and_makes_no_mail_dead(
    server: Postfix, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = [lead() for _ in range(20)]
    async with notifier(notifier_settings(kafka, postgres, settings_of(server, "relay"))) as client:
        await post(kafka, *leads)
        health = await eventually(
            lambda: readyz(client),
            until=lambda h: SENDER_REFUSED in h["parts"]["consumer"]["reason"],
            what="red readiness",
        )
        reason = health["parts"]["consumer"]["reason"]
        assert reason.startswith(f"paused: smtp 554 5.7.1 at rcpt: {SENDER_REFUSED}"), reason
        assert "Relay access denied" in reason
        # Postfix accepts mails to its own domain. Passing alerts do not prove that each welcome is the cause.
        alerts = "SELECT count(*) FROM email_delivery WHERE kind = 'admin_alert' AND state = 'sent'"
        await eventually(lambda: db.fetchval(alerts), until=(20).__eq__, what="20 alerts")
        assert (await readyz(client))["status"] == "not ready"
    assert await records_of(kafka, topics.FAILED.name) == []
    assert await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'reserved'") == 20
    # After the login or mynetworks is corrected all mails are sent.
    async with notifier(notifier_settings(kafka, postgres, settings_of(server, "recipient"))):
        for each in leads:
            await wait_for_states(db, each)
