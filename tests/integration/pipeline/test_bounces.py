"""A mail server with STARTTLS and a login accepts a confirmation, and returns it to the sender's mailbox."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Kafka, Postgres
from services.flusher.app import create_app
from services.flusher.settings import BounceMailbox, Settings
from services.notifier.settings import Smtp
from tests.support.factories import lead, post
from tests.support.mail.events import add_mail
from tests.support.mail.providers import LEAD_ID
from tests.support.mail.relay import ADDRESS, PASSWORD, USER, Relay, running_relay
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.admin import running_admin
from tests.support.services.flusher import flusher
from tests.support.services.notifier import notifier, notifier_settings, wait_for_states
from tests.support.services.persister import persister
from tests.support.wait import eventually

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def visitors() -> AsyncIterator[SmtpServer]:
    """The mail server of the visitors. It refuses the address `gone`."""
    async with smtp_server() as server:
        server.always["rcpt:gone@visitor.example"] = "550 5.1.1 no mailbox of this name"
        yield server


@pytest.fixture
async def relay(visitors: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Relay]:
    with running_relay(visitors.port) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
        yield running


def smtp_of(relay: Relay) -> Smtp:
    return Smtp.model_validate(
        {"host": "127.0.0.1", "port": relay.submission, "user": "us", "password": "secret", "tls": True}
    )


def flusher_settings(kafka: Kafka, postgres: Postgres, relay: Relay, **changes: Any) -> Settings:
    mailbox = {"host": "127.0.0.1", "port": relay.imap, "user": USER, "password": PASSWORD} | changes
    return Settings(kafka=kafka, postgres=postgres, bounce_mailbox=BounceMailbox.model_validate(mailbox))


async def test_a_returned_email_is_bounced_and_the_next_is_suppressed(
    kafka: Kafka, postgres: Postgres, db: Any, relay: Relay, visitors: SmtpServer
) -> None:
    first, second, fine = (lead(email=f"{name}@visitor.example") for name in ("gone", "gone", "fine"))
    settings = notifier_settings(
        kafka, postgres, smtp_of(relay), from_email=ADDRESS, admin_email="boss@mailbox.example"
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(persister(kafka, postgres))
        await stack.enter_async_context(notifier(settings))
        app = create_app(flusher_settings(kafka, postgres, relay, done_folder="Done"))
        await post(kafka, first, fine)
        for each in (first, fine):
            await wait_for_states(db, each)
        await eventually(lambda: _count(relay), until=lambda count: count == 1)
        await stack.enter_async_context(app.router.lifespan_context(app))
        admin = await stack.enter_async_context(running_admin(postgres, kafka))
        page = await eventually(
            lambda: admin.get(f"/admin/leads/{first.lead_id}"),
            until=lambda found: "bounced" in [mail["state"] for mail in found["emails"]],
            seconds=30,
        )
        (welcome,) = [mail for mail in page["emails"] if mail["kind"] == "welcome"]
        assert welcome["reason"] == "bounced with 5.1.1"
        assert "no mailbox of this name" in welcome["smtp_answer"]
        titles = [event["title"] for event in page["timeline"]]
        assert any("came back: the address does not exist" in title for title in titles), titles
        await post(kafka, second)
        await wait_for_states(db, second, "suppressed", "sent")
        await wait_for_states(db, fine)
    assert [mail.recipients for mail in visitors.mails] == [["fine@visitor.example"]]
    reason = "SELECT reason FROM email_delivery WHERE lead_id = $1 AND kind = 'welcome'"
    assert await db.fetchval(reason, second.lead_id) == "an earlier email to this address bounced"
    assert relay.mails_of(USER) == []
    assert len(list((relay.mailboxes / USER / ".Done").glob("*/*"))) >= 1
    run = await db.fetchrow(
        "SELECT last_outcome, last_details FROM scheduled_job WHERE name = 'bounce_mailbox'"
    )
    assert (run["last_outcome"], run["last_details"]) == ("succeeded", {"messages": 1, "events": 1})


async def _count(relay: Relay) -> int:
    return len(relay.mails_of(USER))


async def test_a_pipe_reports_a_returned_email(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    returned = (ROOT / "tests/support/mail/reports/postfix.eml").read_bytes()
    gone = lead(lead_id=LEAD_ID, email="gone@visitor.example")
    await add_mail(db, gone)
    servers = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA_TOPIC_PREFIX": kafka.topic_prefix}
    assert _pipe(returned, servers) == (0, "events: 1")
    assert _pipe(b"From: ada@visitor.example\n\nThank you.", servers) == (0, "no report: 0")
    async with flusher(kafka, postgres):
        state = "SELECT state FROM email_delivery"
        await eventually(lambda: db.fetchval(state), until=lambda found: found == "bounced")
    unavailable = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    code, said = _pipe(returned, unavailable)
    assert (code, said.startswith("not reported: ")) == (75, True)


def _pipe(message: bytes, variables: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli.mail", "bounce"],
        input=message,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | variables,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.decode().splitlines()[-1]
