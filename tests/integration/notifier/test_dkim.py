"""Signed mails through a real Postfix to a mailbox: nothing on the way breaks the signature."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from runtime.health import Health
from runtime.sites.model import Sites
from services.notifier.mail.dkim_key import make_private_key
from services.notifier.mail.dkim_signers import DkimSigners
from services.notifier.mail.message import Identity, Mail, compose
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import open_mailer
from services.notifier.smtp.outcome import MailStatus
from tests.support.factories import lead
from tests.support.mail.dkim_verifiers import verify
from tests.support.mail.dns_server import DnsServer, dns_server
from tests.support.mail.postfix import Postfix, postfix
from tests.support.mail.smtp import SmtpServer
from tests.support.wait import eventually

IDENTITY = Identity("hello@fast.example", "Studio Nørd", ("team@mailbox.example",))
KEY = make_private_key(2048)


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    with postfix() as running:
        yield running


def settings_for(port: int) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "127.0.0.1:1"},
            "postgres": {"url": "postgresql://x@127.0.0.1/x"},
            "smtp": {"host": "127.0.0.1", "port": port, "tls": False},
            "dkim": {"selector": "fc1", "private_key": KEY},
            "from_email": "hello@fast.example",
            "admin_email": "team@mailbox.example",
        }
    )


async def send(settings: Settings, mail: Mail, health: Health | None = None) -> None:
    signers = DkimSigners(settings, Sites(), {})

    async def nothing_to_commit() -> None: ...

    async with open_mailer(settings, health or Health(), asyncio.Event(), signers) as mailer:
        assert (await mailer.send(mail, nothing_to_commit)).status is MailStatus.SENT


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    (signer,) = DkimSigners(settings_for(1), Sites(), {}).all
    async with dns_server() as running:
        running.txt(signer.record_name, signer.record_value)
        yield running


async def delivered(server: Postfix, lead_id: UUID) -> bytes:
    async def found() -> list[bytes]:
        folder = server.mailboxes / "team" / "new"
        contents = [path.read_bytes() for path in folder.glob("*")]
        return [each for each in contents if str(lead_id).encode() in each]

    (mail,) = await eventually(found, until=bool, what="the mail in the mailbox")
    return mail.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("message", "smtputf8"),
    [
        ("Please call me.\n.\n..\n\n  indented\ttab \n\n\n", False),
        ("Größe: 3 m², " * 400, False),
        ("x" * 10_000, False),
        ("Please call me.", True),
    ],
    ids=["dots", "8bit", "long-line", "smtputf8"],
)
async def test_two_other_programs_verify_what_postfix_delivered(
    server: Postfix, zone: DnsServer, message: str, smtputf8: bool
) -> None:
    asking = lead(message=message, name="Łukasz Żółć")
    alert = compose("admin_alert", asking, IDENTITY, datetime.now(UTC))
    if smtputf8:
        asking = lead(name="Łukasz Żółć", email="żółć@sud.studio")
        sender = replace(IDENTITY, admins=("team@mailbox.example", "żółć@fast.example"))
        alert = compose("admin_alert", asking, sender, datetime.now(UTC))
        assert alert.smtputf8
    await send(settings_for(server.ports["recipient"]), alert)
    content = await delivered(server, asking.lead_id)
    assert b"\r\nReceived: from " in content
    assert await verify(content, zone) == (True, "pass")


async def test_a_mail_that_cannot_be_signed_arrives_all_the_same(
    smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("services.notifier.mail.dkim_signature.DkimSigner.sign", fail)
    health = Health()
    await send(settings_for(smtp.port), compose("welcome", lead(), IDENTITY, datetime.now(UTC)), health)
    assert "DKIM-Signature" not in smtp.mails[0].message
    assert health.parts["dkim"].reason.startswith("warning: mails of fast.example")
